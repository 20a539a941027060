-- The events of all runs from one to another, left where they are: a copy would be large.
CREATE OR REPLACE TEMP VIEW mine AS
SELECT * FROM in_turn WHERE run >= :first AND run <= :last;
