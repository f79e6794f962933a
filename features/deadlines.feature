Feature: Deadlines
  Nothing goes on for ever unless somebody wants it to: a task can say how long it may wait for a worker, how long a run of
  it may take, and how long a run may say nothing.

  Scenario: A task that no worker takes in time has failed
    Given the worker "atlas" with the agent "general"
    When the task "wall" for "builder" is created with
      | queue_timeout | 30 seconds |
    Then within 40 seconds the task "wall" is FAILED
    And it has no runs
    And it failed of queue_timeout: "no connected worker offers the agent builder"

  Scenario: A task that waits for a free slot for too long has failed
    Given the worker "atlas" with the agent "builder" and 1 slot
    And the task "first" for "builder" is running
    When the task "second" for "builder" is created with
      | queue_timeout | 30 seconds |
    Then within 40 seconds the task "second" is FAILED
    And it failed of queue_timeout: "no worker that it could go to has a free slot"
    When the work on "first" is finished
    Then the task "first" is COMPLETED

  Scenario: A task that a worker takes in time is done
    Given the task "wall" for "builder" is created with
      | queue_timeout | 600 seconds |
    When the worker "atlas" starts with the agent "builder"
    And the task "wall" is running on "atlas"
    And the work on "wall" is finished
    Then the task "wall" is COMPLETED

  Scenario: After a lost worker a task may wait as long again
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is created with
      | queue_timeout | 30 seconds |
    And the task "wall" is running on "atlas"
    When the worker "atlas" is lost
    Then within 40 seconds the task "wall" is FAILED
    And it failed of queue_timeout: "no connected worker offers the agent builder"
    And its runs are
      | attempt | worker | status | failure     |
      |       1 | atlas  | FAILED | worker_lost |

  Scenario: A run that takes longer than its task allows is stopped
    Given the worker "atlas" with the agent "builder"
    When the task "wall" for "builder" is created with
      | timeout | 30 seconds |
    Then within 50 seconds the task "wall" is FAILED
    And its runs are
      | attempt | worker | status | failure |
      |       1 | atlas  | FAILED | timeout |
    And nothing of it executes any more

  Scenario: A run that says nothing for longer than its task allows is stopped
    Given the worker "atlas" with the agent "builder"
    When the task "wall" for "builder" is created with
      | silence_timeout | 60 seconds |
    Then within 80 seconds the task "wall" is FAILED
    And its runs are
      | attempt | worker | status | failure |
      |       1 | atlas  | FAILED | timeout |
    And nothing of it executes any more
