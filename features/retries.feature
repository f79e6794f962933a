Feature: Retries
  A worker that is lost is not the agent's fault: its tasks go to another worker, as often as they allow. An agent's own
  failure is final unless the task asks for more, because running an agent twice costs twice.

  Scenario: A task survives the death of its worker
    Given the worker "atlas" with the agent "storyteller"
    And the task "dragons" for "storyteller" is in the middle of its work
    When the worker "atlas" is lost
    And the worker "bruno" starts with the agent "storyteller"
    And the work on "dragons" is finished
    Then the task "dragons" is COMPLETED
    And its runs are
      | attempt | worker | status    | failure     |
      |       1 | atlas  | FAILED    | worker_lost |
      |       2 | bruno  | COMPLETED |             |
    And nothing of its first run executes any more

  Scenario: A task survives a worker that freezes, and what that one says when it wakes up counts for nothing
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    And the worker "bruno" with the agent "builder"
    When the worker "atlas" freezes
    Then within 121 seconds the task "wall" is running on "bruno"
    When the work on "wall" is finished
    Then the task "wall" is COMPLETED
    When the worker "atlas" wakes up
    Then within 10 seconds the worker "atlas" is listed as IDLE
    And its runs are
      | attempt | worker | status    | failure     |
      |       1 | atlas  | FAILED    | worker_lost |
      |       2 | bruno  | COMPLETED |             |
    And nothing of its first run executes any more

  Scenario: When all attempts are used up the task has failed
    Given the task "wall" for "builder" is created with
      | max_attempts | 1 |
    When the worker "atlas" starts with the agent "builder"
    And the task "wall" is running on "atlas"
    And the worker "atlas" is lost
    Then the task "wall" is FAILED
    And its runs are
      | attempt | worker | status | failure     |
      |       1 | atlas  | FAILED | worker_lost |

  Scenario: A task that takes two workers with it is given to no other
    Given the task "wall" for "builder" is created with
      | max_attempts | 10 |
    When the worker "atlas" starts with the agent "builder"
    And the task "wall" is running on "atlas"
    And the worker "atlas" is lost
    And the worker "bruno" starts with the agent "builder"
    And the task "wall" is running on "bruno"
    And the worker "bruno" is lost
    Then the task "wall" is FAILED
    And its runs are
      | attempt | worker | status | failure     |
      |       1 | atlas  | FAILED | worker_lost |
      |       2 | bruno  | FAILED | poison      |

  Scenario: An agent's own failure is final
    Given the worker "atlas" with the agent "flaky"
    When the task "kettle" for "flaky" is created
    Then the task "kettle" is FAILED
    And it had 1 run

  Scenario: An agent's own failure is tried again if the task asks for it
    Given the worker "atlas" with the agent "flaky"
    When the task "kettle" for "flaky" is created with
      | retry_on | agent_error |
    Then the task "kettle" is COMPLETED
    And its runs are
      | attempt | worker | status    | failure     |
      |       1 | atlas  | FAILED    | agent_error |
      |       2 | atlas  | COMPLETED |             |
