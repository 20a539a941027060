-- Where lines were written: the directories and branches to be attributed.
SELECT DISTINCT cwd, branch FROM lines WHERE message IS NOT NULL ORDER BY cwd, branch;
