"""What an operator would look at before and while running streamrec, looked at in seconds.

`gather` asks Kafka and this machine and never waits long; `examine` judges what it found and is
pure. Nothing is changed, and nothing is started.

    facts        what there is to know, and `Unknown` for what could not be found out
    asking       questions in threads of their own, so that no answer is waited for too long
    kafka_facts  what Kafka says of itself, its topics, the groups and the rows
    local_facts  what this machine says: packages, registry, the live model
    examination  what to ask, for how long, and which checks to read it with
    checks       from facts to findings: brokers, disks, packages, model
    flow_checks  from facts to findings: topics, rights, rows, workers
    report       findings, and what they come to
"""

from streamrec.doctor.examination import examine, gather
from streamrec.doctor.report import Finding, Outcome, Report

__all__ = ["Finding", "Outcome", "Report", "examine", "gather"]
