-- What is new in schema 0006, with something in it. Executed by tests/old_schemas.py on the upgraded rows of 0005.
UPDATE scheduled_prompts SET guild = '77' WHERE id = 1;
INSERT INTO removed_pictures
VALUES ('0000000000000000000000000000000000000000000000000000000000000009', '2026-11-23 09:32:00.000000', 'asked for');
