BEGIN TRANSACTION;
CREATE TABLE accounts (
	"key" TEXT NOT NULL, 
	person TEXT NOT NULL, 
	linked DATETIME NOT NULL, 
	CONSTRAINT pk_accounts PRIMARY KEY ("key"), 
	CONSTRAINT fk_accounts_person_persons FOREIGN KEY(person) REFERENCES persons ("key")
);
INSERT INTO "accounts" VALUES('web:tab9','web:ann','2026-11-23 09:00:01.250000');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	details JSON
);
INSERT INTO "audit" VALUES(1,'2026-11-23 09:30:00.000000','operator','ban','api:cy','{"reason": "spam"}');
CREATE TABLE blocked_pictures (
	hash TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	added_by TEXT NOT NULL, 
	added DATETIME NOT NULL, 
	CONSTRAINT pk_blocked_pictures PRIMARY KEY (hash)
);
INSERT INTO "blocked_pictures" VALUES('00ff00ff00ff00ff','asked for','operator','2026-11-23 09:32:00.000000');
CREATE TABLE blocked_words (
	phrase TEXT NOT NULL, 
	added_by TEXT NOT NULL, 
	added DATETIME NOT NULL, 
	CONSTRAINT pk_blocked_words PRIMARY KEY (phrase)
);
INSERT INTO "blocked_words" VALUES('nasty ☃','operator','2026-11-23 09:31:00.000000');
CREATE TABLE chores_done (
	chore TEXT NOT NULL, 
	period TEXT NOT NULL, 
	begun DATETIME NOT NULL, 
	CONSTRAINT pk_chores_done PRIMARY KEY (chore, period)
);
INSERT INTO "chores_done" VALUES('retention','2026-11-23','2026-11-23 03:00:00.000000');
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
CREATE TABLE job_words (
	seq INTEGER NOT NULL, 
	facets TEXT NOT NULL, 
	words TEXT NOT NULL, 
	CONSTRAINT pk_job_words PRIMARY KEY (seq), 
	CONSTRAINT fk_job_words_seq_jobs FOREIGN KEY(seq) REFERENCES jobs (seq) ON DELETE CASCADE
);
INSERT INTO "job_words" VALUES(1,'¬p7765623a616e6e ¬g3737 ¬m656d626564646564 ¬s65756c6572 ¬f','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(2,'¬p646973636f72643a32 ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(3,'¬p7765623a616e6e ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(4,'¬p6170693a6379 ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(5,'¬p7765623a616e6e ¬g3737 ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(6,'¬p646973636f72643a32 ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
INSERT INTO "job_words" VALUES(7,'¬p6170693a6379 ¬m656d626564646564 ¬s65756c6572','blue cat ¬ blurry');
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
	reply_to JSON, account TEXT, guild TEXT, address TEXT, parent TEXT, favourite BOOLEAN DEFAULT 0 NOT NULL, worker TEXT, lease DATETIME, 
	CONSTRAINT fk_jobs_person_persons FOREIGN KEY(person) REFERENCES persons ("key"), 
	CONSTRAINT uq_jobs_id UNIQUE (id), 
	CONSTRAINT uq_jobs_person_key UNIQUE (person, "key")
);
INSERT INTO "jobs" VALUES(1,'01a207a2337a00000000000000000001','web:ann','k1','finished','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:03.250000','2026-11-23 09:00:24.250000','2026-11-23 09:00:39.250000',NULL,'{"model": "abababababababababababababababababababababababababababababababab", "versions": {"torch": "2.13.0"}, "seconds": 1.25}','{"front_end": "web", "tab": 1}','web:tab9','77',NULL,NULL,1,NULL,NULL);
INSERT INTO "jobs" VALUES(2,'01a207a23f3200000000000000000002','discord:2',NULL,'failed','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,6.25,1,1,'2026-11-23 09:00:06.250000','2026-11-23 09:00:27.250000','2026-11-23 09:00:42.250000','out of memory','{"model": "abababababababababababababababababababababababababababababababab", "versions": {"torch": "2.13.0"}, "seconds": 1.25}','{"front_end": "bot", "channel": "12"}',NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES(3,'01a207a24aea00000000000000000003','web:ann',NULL,'running','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:09.250000','2026-11-23 09:00:36.250000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'w1','2026-11-23 09:01:06.250000');
INSERT INTO "jobs" VALUES(4,'01a207a256a200000000000000000004','api:cy',NULL,'cancelled','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,12.5,1,1,'2026-11-23 09:00:12.250000','2026-11-23 09:00:30.250000','2026-11-23 09:00:45.250000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES(5,'01a207a2625a00000000000000000005','web:ann','k2','queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,0.0,0,0,'2026-11-23 09:00:15.250000',NULL,NULL,NULL,NULL,NULL,NULL,'77',NULL,'01a207a2337a00000000000000000001',0,NULL,NULL);
INSERT INTO "jobs" VALUES(6,'01a207a26e1200000000000000000006','discord:2',NULL,'queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 2, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}}','embedded','euler',12.5,6.25,1,0,'2026-11-23 09:00:18.250000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "jobs" VALUES(7,'01a207a279ca00000000000000000007','api:cy','k1','queued','{"prompt": "blue cat", "negative_prompt": "blurry", "steps": 20, "sampler": "euler", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.0, "seed": 7, "width": 64, "height": 64, "images": 1, "model": "embedded", "options": {"upscale": true, "film_grain": {"amount": 0.2}}, "init_image": "0000000000000000000000000000000000000000000000000000000000000003", "strength": 0.6, "mask": "0000000000000000000000000000000000000000000000000000000000000004"}','embedded','euler',12.5,0.0,0,0,'2026-11-23 09:00:21.250000',NULL,NULL,NULL,NULL,'{"front_end": "web", "tab": 1}',NULL,NULL,'a1b2',NULL,0,NULL,NULL);
CREATE TABLE link_codes (
	digest TEXT NOT NULL, 
	account TEXT NOT NULL, 
	expires DATETIME NOT NULL, 
	CONSTRAINT pk_link_codes PRIMARY KEY (digest), 
	CONSTRAINT uq_link_codes_account UNIQUE (account)
);
INSERT INTO "link_codes" VALUES('c0ffee','discord:2','2026-11-23 09:10:00.000000');
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
	waiting_since BIGINT DEFAULT 0 NOT NULL, role TEXT DEFAULT 'member' NOT NULL, banned DATETIME, ban_reason TEXT, spent DOUBLE DEFAULT 0 NOT NULL, spent_on TEXT, 
	CONSTRAINT pk_persons PRIMARY KEY ("key"), 
	CONSTRAINT ck_persons_weight_positive CHECK (weight > 0), 
	CONSTRAINT ck_persons_queued_not_negative CHECK (queued >= 0), 
	CONSTRAINT ck_persons_running_not_negative CHECK (running >= 0)
);
INSERT INTO "persons" VALUES('web:ann','Ann',1.0,25.0,1,1,1,'patron',NULL,NULL,12.5,'2026-11-23');
INSERT INTO "persons" VALUES('discord:2','Bén ☃',2.0,6.25,1,0,6,'member',NULL,NULL,0.0,NULL);
INSERT INTO "persons" VALUES('api:cy','',1.0,12.5,1,0,4,'member','2026-11-23 09:30:00.000000','spam',0.0,NULL);
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
CREATE TABLE removed_pictures (
	sha256 TEXT NOT NULL, 
	removed DATETIME NOT NULL, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_removed_pictures PRIMARY KEY (sha256)
);
INSERT INTO "removed_pictures" VALUES('0000000000000000000000000000000000000000000000000000000000000009','2026-11-23 09:32:00.000000','asked for');
CREATE TABLE scheduled_prompts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	person TEXT NOT NULL, 
	cron TEXT NOT NULL, 
	timezone TEXT DEFAULT 'UTC' NOT NULL, 
	request JSON NOT NULL, 
	reply_to JSON, 
	created DATETIME NOT NULL, 
	error TEXT, guild TEXT, 
	CONSTRAINT fk_scheduled_prompts_person_persons FOREIGN KEY(person) REFERENCES persons ("key")
);
INSERT INTO "scheduled_prompts" VALUES(1,'web:ann','0 9 * * *','Europe/Berlin','{"prompt": "blue cat"}','{"front_end": "web", "tab": 1}','2026-11-23 09:33:00.000000',NULL,'77');
CREATE TABLE steps (
	job_id TEXT NOT NULL, 
	event JSON NOT NULL, 
	preview BLOB, 
	CONSTRAINT pk_steps PRIMARY KEY (job_id)
);
INSERT INTO "steps" VALUES('01a207a24aea00000000000000000003','{"step": 3}',X'89504E47');
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
CREATE INDEX ix_jobs_guild_queued ON jobs (guild) WHERE status = 'queued' AND guild IS NOT NULL;
CREATE INDEX ix_jobs_address_queued ON jobs (address) WHERE status = 'queued' AND address IS NOT NULL;
CREATE INDEX ix_jobs_lease ON jobs (lease) WHERE status = 'running';
CREATE INDEX ix_jobs_favourites ON jobs (person, seq) WHERE favourite;
CREATE INDEX ix_accounts_person ON accounts (person);
CREATE INDEX ix_audit_subject ON audit (subject);
CREATE INDEX ix_scheduled_prompts_person ON scheduled_prompts (person);
CREATE INDEX ix_jobs_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE VIRTUAL TABLE job_words_fts USING fts5(facets, words, content='job_words', content_rowid='seq',
    tokenize='ascii', prefix='1 2 3', columnsize=0);
CREATE VIRTUAL TABLE job_words_terms USING fts5vocab('job_words_fts', 'instance');
INSERT INTO job_words_fts (job_words_fts) VALUES ('rebuild');
CREATE TRIGGER job_words_inserted AFTER INSERT ON job_words BEGIN
  INSERT INTO job_words_fts (rowid, facets, words) VALUES (new.seq, new.facets, new.words);
END;
CREATE TRIGGER job_words_deleted AFTER DELETE ON job_words BEGIN
  INSERT INTO job_words_fts (job_words_fts, rowid, facets, words) VALUES ('delete', old.seq, old.facets, old.words);
END;
CREATE TRIGGER job_words_updated AFTER UPDATE ON job_words BEGIN
  INSERT INTO job_words_fts (job_words_fts, rowid, facets, words) VALUES ('delete', old.seq, old.facets, old.words);
  INSERT INTO job_words_fts (rowid, facets, words) VALUES (new.seq, new.facets, new.words);
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF person, guild, model, sampler, favourite ON jobs BEGIN
  UPDATE job_words SET facets = '¬p' || lower(hex(new.person))
      || coalesce(' ¬g' || lower(hex(new.guild)), '')
      || coalesce(' ¬m' || lower(hex(new.model)), '')
      || coalesce(' ¬s' || lower(hex(new.sampler)), '')
      || CASE WHEN new.favourite THEN ' ¬f' ELSE '' END
  WHERE seq = new.seq;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',7);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
INSERT INTO "sqlite_sequence" VALUES('audit',1);
INSERT INTO "sqlite_sequence" VALUES('scheduled_prompts',1);
COMMIT;
