Feature: Dispatch
  A task goes to a worker that offers its agent, carries the labels it asks for and has a free slot. While there is none
  it waits, and nothing has to be asked twice: it starts the moment one fits.

  Scenario: A task waits for a worker that offers its agent
    Given the worker "atlas" with the agent "general"
    When the task "wall" for "builder" is created
    Then the task "wall" is PENDING
    When the worker "bruno" starts with the agent "builder"
    Then the task "wall" is running on "bruno"

  Scenario: A task waits for a worker with the labels it asks for
    Given the worker "atlas" with the agent "builder" and the labels "gpu=no"
    When the task "wall" for "builder" is created with
      | worker_selector | gpu=yes |
    Then the task "wall" is PENDING
    When the worker "bruno" starts with the agent "builder" and the labels "gpu=yes, zone=north"
    Then the task "wall" is running on "bruno"

  Scenario: Among those that fit, the least loaded worker goes first
    Given the worker "atlas" with the agent "builder"
    And the worker "bruno" with the agent "builder"
    When 4 tasks for "builder" are running
    Then the worker "atlas" has 2 of 10 runs
    And the worker "bruno" has 2 of 10 runs

  Scenario: What waits goes by priority, then by age
    Given the worker "atlas" with the agent "builder" and 1 slot
    And the task "first" for "builder" is running
    And these tasks for "builder" are created
      | task        | priority |
      | old         |        0 |
      | young       |        0 |
      | urgent      |        5 |
      | unimportant |       -5 |
    When all work is finished
    Then the tasks were started in the order "first, urgent, old, young, unimportant"

  Scenario: Nobody is given more than there are slots for
    Given the worker "atlas" with the agent "builder"
    When 10 tasks for "builder" are running
    And the task "eleventh" for "builder" is created
    Then the task "eleventh" is PENDING
    And the worker "atlas" has 10 of 10 runs
    When the work on "task 3" is finished
    Then the task "eleventh" is running on "atlas"
    And the worker "atlas" has 10 of 10 runs

  Scenario: Why a task waits is explained, with what each worker lacks
    Given the worker "atlas" with the agent "builder" and the labels "gpu=no"
    And the worker "bruno" with the agent "builder" and the labels "gpu=yes" and 1 slot
    And the worker "chip" with the agent "general"
    When the task "wall" for "builder" is created with
      | worker_selector | gpu=yes |
    Then the task "wall" is running on "bruno"
    When the task "roof" for "builder" is created with
      | worker_selector | gpu=yes |
    And the task "shed" for "builder" is created with
      | worker_selector | gpu=yes |
    And the task "garden" for "builder" is created with
      | worker_selector | gpu=yes |
    Then the task "garden" waits because "no worker that it could go to has a free slot"
    And 2 tasks that need the same go before it
    And to take it the workers lack
      | worker | lacks                                                     |
      | bruno  | has no free slot: 1 of 1 runs                             |
      | atlas  | lacks the label gpu=yes (it has gpu=no)                   |
      | chip   | does not offer the agent builder; lacks the label gpu=yes |
    When the worker "bruno" is lost
    Then the task "garden" waits because "no worker that offers the agent builder has the labels that it asks for"
