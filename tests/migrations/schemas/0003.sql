BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE clock (
	id INTEGER NOT NULL, 
	vtime DOUBLE NOT NULL, 
	CONSTRAINT pk_clock PRIMARY KEY (id), 
	CONSTRAINT ck_clock_one_row CHECK (id = 1)
);
INSERT INTO "clock" VALUES(1,12.5);
CREATE TABLE init_images (
	job_id TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	CONSTRAINT pk_init_images PRIMARY KEY (job_id), 
	CONSTRAINT fk_init_images_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "init_images" VALUES('01a207a279ca00000000000000000007','0000000000000000000000000000000000000000000000000000000000000003');
CREATE TABLE jobs (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	person TEXT NOT NULL, 
	"key" TEXT, 
	status TEXT NOT NULL, 
	request JSON NOT NULL, 
	model TEXT, 
	sampler TEXT, 
	cost DOUBLE NOT NULL, 
	charge DOUBLE DEFAULT 0 NOT NULL, 
	epoch INTEGER DEFAULT 0 NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	created DATETIME NOT NULL, 
	started DATETIME, 
	finished DATETIME, 
	error TEXT, 
	record JSON, 
	reply_to JSON, 
	CONSTRAINT fk_jobs_person_persons FOREIGN KEY(person) REFERENCES persons ("key"), 
	CONSTRAINT uq_jobs_id UNIQUE (id), 
	CONSTRAINT uq_jobs_person_key UNIQUE (person, "key")
);
INSERT INTO "jobs" VALUES(1,'01a207a2337a00000000000000000001','web:ann','k1','finished','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:03.250000','2026-11-23 09:00:24.250000','2026-11-23 09:00:39.250000',NULL,'{"model": "abababababababababababababababababababababababababababababababab", "versions": {"torch": "2.13.0"}, "seconds": 1.25}','{"front_end": "web", "tab": 1}');
INSERT INTO "jobs" VALUES(2,'01a207a23f3200000000000000000002','discord:2',NULL,'failed','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,6.25,1,1,'2026-11-23 09:00:06.250000','2026-11-23 09:00:27.250000','2026-11-23 09:00:42.250000','out of memory','{"model": "abababababababababababababababababababababababababababababababab", "versions": {"torch": "2.13.0"}, "seconds": 1.25}','{"front_end": "bot", "channel": "12"}');
INSERT INTO "jobs" VALUES(3,'01a207a24aea00000000000000000003','web:ann',NULL,'running','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:09.250000','2026-11-23 09:00:36.250000',NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(4,'01a207a256a200000000000000000004','api:cy',NULL,'cancelled','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:12.250000','2026-11-23 09:00:30.250000','2026-11-23 09:00:45.250000',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(5,'01a207a2625a00000000000000000005','web:ann','k2','queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,0.0,0,0,'2026-11-23 09:00:15.250000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(6,'01a207a26e1200000000000000000006','discord:2',NULL,'queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,6.25,1,0,'2026-11-23 09:00:18.250000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(7,'01a207a279ca00000000000000000007','api:cy','k1','queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 1, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}, "init_image": "0000000000000000000000000000000000000000000000000000000000000003", "strength": 0.6, "mask": "0000000000000000000000000000000000000000000000000000000000000004"}','embedded','euler',12.5,0.0,0,0,'2026-11-23 09:00:21.250000',NULL,NULL,NULL,NULL,'{"front_end": "web", "tab": 1}');
CREATE TABLE masks (
	job_id TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	CONSTRAINT pk_masks PRIMARY KEY (job_id), 
	CONSTRAINT fk_masks_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "masks" VALUES('01a207a279ca00000000000000000007','0000000000000000000000000000000000000000000000000000000000000004');
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id TEXT NOT NULL, 
	front_end TEXT NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	retry_at DATETIME, 
	given_up BOOLEAN DEFAULT 0 NOT NULL, 
	error TEXT, 
	CONSTRAINT fk_outbox_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT uq_outbox_job_id UNIQUE (job_id)
);
INSERT INTO "outbox" VALUES(1,'01a207a2337a00000000000000000001','web',0,NULL,0,NULL);
INSERT INTO "outbox" VALUES(2,'01a207a23f3200000000000000000002','bot',1,'2026-11-23 10:00:00.000000',0,'503');
CREATE TABLE persons (
	"key" TEXT NOT NULL, 
	name TEXT NOT NULL, 
	weight DOUBLE NOT NULL, 
	vtime DOUBLE DEFAULT 0 NOT NULL, 
	queued INTEGER DEFAULT 0 NOT NULL, 
	running INTEGER DEFAULT 0 NOT NULL, 
	waiting_since BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_persons PRIMARY KEY ("key"), 
	CONSTRAINT ck_persons_weight_positive CHECK (weight > 0), 
	CONSTRAINT ck_persons_queued_not_negative CHECK (queued >= 0), 
	CONSTRAINT ck_persons_running_not_negative CHECK (running >= 0)
);
INSERT INTO "persons" VALUES('web:ann','Ann',1.0,25.0,1,1,1);
INSERT INTO "persons" VALUES('discord:2','Bén ☃',2.0,6.25,1,0,6);
INSERT INTO "persons" VALUES('api:cy','',1.0,12.5,1,0,4);
CREATE TABLE pictures (
	job_id TEXT NOT NULL, 
	"index" INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	sha256 TEXT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	notes JSON NOT NULL, 
	CONSTRAINT pk_pictures PRIMARY KEY (job_id, "index"), 
	CONSTRAINT fk_pictures_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "pictures" VALUES('01a207a2337a00000000000000000001',0,7,'0000000000000000000000000000000000000000000000000000000000000001',64,64,'[]');
INSERT INTO "pictures" VALUES('01a207a2337a00000000000000000001',1,8,'0000000000000000000000000000000000000000000000000000000000000002',64,64,'["film_grain was skipped"]');
CREATE TABLE uploads (
	sha256 TEXT NOT NULL, 
	person TEXT NOT NULL, 
	taken DATETIME NOT NULL, 
	CONSTRAINT pk_uploads PRIMARY KEY (sha256, person)
);
INSERT INTO "uploads" VALUES('0000000000000000000000000000000000000000000000000000000000000003','api:cy','2026-11-23 09:00:20.250000');
CREATE INDEX ix_persons_waiting ON persons (vtime, waiting_since) WHERE queued > 0;
CREATE INDEX ix_jobs_queued ON jobs (status, person, seq, cost, id) WHERE status = 'queued';
CREATE INDEX ix_jobs_person_seq ON jobs (person, seq);
CREATE INDEX ix_jobs_status_finished ON jobs (status, finished);
CREATE INDEX ix_pictures_sha256 ON pictures (sha256);
CREATE INDEX ix_outbox_open ON outbox (front_end, id) WHERE given_up = 0;
CREATE INDEX ix_init_images_sha256 ON init_images (sha256);
CREATE INDEX ix_uploads_person ON uploads (person);
CREATE INDEX ix_uploads_taken ON uploads (taken);
CREATE INDEX ix_masks_sha256 ON masks (sha256);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',7);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
COMMIT;
