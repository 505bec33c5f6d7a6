-- Whether only a command inside the run's job told of its end, so that Prow's own word is still to come.
ALTER TABLE runs ADD COLUMN provisional bigint NOT NULL DEFAULT 0;
