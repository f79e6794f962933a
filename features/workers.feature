Feature: Workers come and go
  A worker announces what it offers, and is listed for as long as it is there. When it vanishes this is noticed: at once
  if its stream breaks, by its silence if it does not. It has two minutes to come back to its runs; then it is lost.

  Scenario: A connected worker is listed with its agents and their models
    Given the worker "atlas" with the agents "general, storyteller" and the labels "zone=north, gpu=yes"
    Then the worker "atlas" is listed as IDLE
    And it offers the agents
      | agent       | provider  | model             |
      | general     | anthropic | claude-sonnet-4-5 |
      | storyteller | anthropic | claude-sonnet-4-5 |
    And it has the labels "zone=north, gpu=yes"
    And it has 0 of 10 runs

  Scenario: Workers can be asked for by agent
    Given the worker "atlas" with the agent "general"
    And the worker "bruno" with the agents "general, builder"
    Then the workers with the agent "general" are "atlas, bruno"
    And the workers with the agent "builder" are "bruno"
    And the workers with the agent "cook" are ""

  Scenario: A worker with a run is busy, and idle again after it
    Given the worker "atlas" with the agent "builder"
    And the worker "bruno" with the agent "general"
    When the task "wall" for "builder" is running
    Then the worker "atlas" is listed as BUSY
    And it has 1 of 10 runs
    And the idle workers are "bruno"
    When the work on "wall" is finished
    Then the task "wall" is COMPLETED
    And the idle workers are "atlas, bruno"

  Scenario: A worker that dies is missed at once, and lost when it stays away
    Given the worker "atlas" with the agent "general"
    When the worker "atlas" dies
    Then the worker "atlas" is listed as DISCONNECTED
    And within 121 seconds the worker "atlas" is gone

  Scenario: A worker that stands still is found out by its silence
    Given the worker "atlas" with the agent "general"
    When the worker "atlas" freezes
    Then within 46 seconds the worker "atlas" is listed as DISCONNECTED
    And within 121 seconds the worker "atlas" is gone

  Scenario: A worker whose connection breaks comes back and goes on with its runs
    Given the worker "atlas" with the agent "storyteller"
    And the task "dragons" for "storyteller" is in the middle of its work
    When the connection of the worker "atlas" breaks
    Then within 10 seconds the worker "atlas" is listed as BUSY
    When the work on "dragons" is finished
    Then the task "dragons" is COMPLETED
    And its output is "Once upon a time there were dragons. They lived happily ever after."
    And its runs are
      | attempt | worker | status    | failure |
      |       1 | atlas  | COMPLETED |         |

  Scenario: A worker that comes back is itself again
    Given the worker "atlas" with the agent "general"
    When the worker "atlas" dies
    And the worker "atlas" starts again with the agents "general, builder"
    Then the workers with the agent "general" are "atlas"
    And the workers with the agent "builder" are "atlas"

  Scenario: A worker that drains finishes what it has and gets nothing new
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    When the worker "atlas" is asked to drain
    And the task "roof" for "builder" is created
    Then the worker "atlas" is listed as DRAINING
    And the task "roof" is PENDING
    When the work on "wall" is finished
    Then the task "wall" is COMPLETED
    And within 10 seconds the worker "atlas" is gone
    And the task "roof" is PENDING
