-- What is new in schema 0004, with something in it. Executed by tests/old_schemas.py on the upgraded rows of 0003.
UPDATE persons SET role = 'patron', spent = 12.5, spent_on = '2026-11-23' WHERE key = 'web:ann';
UPDATE persons SET banned = '2026-11-23 09:30:00.000000', ban_reason = 'spam' WHERE key = 'api:cy';
UPDATE jobs SET favourite = 1, guild = '77', account = 'web:tab9' WHERE seq = 1;
UPDATE jobs SET guild = '77', parent = '01a207a2337a00000000000000000001' WHERE seq = 5;
UPDATE jobs SET address = 'a1b2' WHERE seq = 7;
UPDATE jobs SET worker = 'w1', lease = '2026-11-23 09:01:06.250000' WHERE seq = 3;
INSERT INTO accounts VALUES ('web:tab9', 'web:ann', '2026-11-23 09:00:01.250000');
INSERT INTO link_codes VALUES ('c0ffee', 'discord:2', '2026-11-23 09:10:00.000000');
INSERT INTO audit (id, at, actor, action, subject, details)
VALUES (1, '2026-11-23 09:30:00.000000', 'operator', 'ban', 'api:cy', '{"reason": "spam"}');
INSERT INTO blocked_words VALUES ('nasty ☃', 'operator', '2026-11-23 09:31:00.000000');
INSERT INTO blocked_pictures VALUES ('00ff00ff00ff00ff', 'asked for', 'operator', '2026-11-23 09:32:00.000000');
INSERT INTO chores_done VALUES ('retention', '2026-11-23', '2026-11-23 03:00:00.000000');
INSERT INTO scheduled_prompts (id, person, cron, timezone, request, reply_to, created, error)
VALUES (1, 'web:ann', '0 9 * * *', 'Europe/Berlin', '{"prompt": "blue cat"}', '{"front_end": "web", "tab": 1}',
        '2026-11-23 09:33:00.000000', NULL);
INSERT INTO steps VALUES ('01a207a24aea00000000000000000003', '{"step": 3}', x'89504e47');
