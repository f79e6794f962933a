Feature: Metrics
  The figures say at every moment what there is and what has happened.

  Scenario: Tasks are counted by status
    Given the worker "atlas" with the agents "general, clumsy, builder"
    When the task "hello" for "general" is created
    And the task "hello" is COMPLETED
    And the task "vase" for "clumsy" is created
    And the task "vase" is FAILED
    And the task "wall" for "builder" is running
    And the task "soup" for "cook" is created
    Then the metrics show
      | taskrun_tasks_total{status="completed"}          | 1 |
      | taskrun_tasks_total{status="failed"}             | 1 |
      | taskrun_tasks_total{status="running"}            | 1 |
      | taskrun_tasks_total{status="pending"}            | 1 |
      | taskrun_run_failures_total{kind="agent_error"}   | 1 |

  Scenario: Workers and their slots are counted
    Given the worker "atlas" with the agent "builder"
    And the worker "bruno" with the agent "builder" and 2 slots
    When the task "wall" for "builder" is running
    Then the metrics show
      | taskrun_workers_connected{status="idle"} |  1 |
      | taskrun_workers_connected{status="busy"} |  1 |
      | taskrun_worker_slots{state="taken"}      |  1 |
      | taskrun_worker_slots{state="free"}       | 11 |

  Scenario: The queue's depth is shown by agent
    Given these tasks for "cook" are created
      | task  | priority |
      | soup  |        0 |
      | pasta |        0 |
    Then the metrics show
      | taskrun_queue_depth{agent="cook"} | 2 |
    When the task "soup" is cancelled
    Then the metrics show
      | taskrun_queue_depth{agent="cook"} | 1 |

  Scenario: What went wrong with workers is counted
    Given the worker "carla" with the agent "builder"
    And the task "wall" for "builder" is running
    When the worker "carla" dies
    And the worker "carla" starts again with the agent "builder"
    And the task "wall" is running on "carla"
    Then the metrics show
      | taskrun_run_failures_total{kind="worker_lost"} | 1 |
      | taskrun_requeues_total                         | 1 |
      | taskrun_worker_reconnects_total                | 1 |
