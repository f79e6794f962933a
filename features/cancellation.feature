Feature: Cancellation
  Who cancels a task asks for its end. A task that waits ends at once; one that runs ends when its worker says that the
  agent is gone, and gone means everything that the agent started.

  Scenario: A waiting task ends at once
    Given the task "wall" for "builder" is created
    When the task "wall" is cancelled
    Then the answer says CANCELLED
    When the worker "atlas" starts with the agent "builder"
    Then the task "wall" is CANCELLED
    And it has no runs

  Scenario: A running task ends when its agent is gone
    Given the worker "atlas" with the agent "storyteller"
    And the task "dragons" for "storyteller" is in the middle of its work
    When the task "dragons" is cancelled
    Then the answer says that cancel was asked
    And within 15 seconds the task "dragons" is CANCELLED
    And nothing of it executes any more
    And within 5 seconds the worker "atlas" is listed as IDLE

  Scenario: Asking twice changes nothing
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    And the worker "atlas" freezes
    When the task "wall" is cancelled
    And the task "wall" is cancelled
    Then the answer says that cancel was asked
    And within 16 seconds the task "wall" is CANCELLED
    And its story tells once that cancel was asked

  Scenario: What has ended cannot be cancelled
    Given the worker "atlas" with the agent "general"
    And the task "hello" for "general" is created
    And the task "hello" is COMPLETED
    When somebody tries to cancel "hello"
    Then it is refused as a failed precondition: "The task has ended already: it is COMPLETED."
    And the task "hello" is COMPLETED

  Scenario: What nobody made cannot be cancelled
    When somebody tries to cancel a task that does not exist
    Then it is refused as not found

  Scenario: A worker that does not answer cannot hold up a cancel
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    When the worker "atlas" freezes
    And the task "wall" is cancelled
    Then the answer says that cancel was asked
    And within 16 seconds the task "wall" is CANCELLED

  Scenario: A cancelled task is not given to another worker
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    When the worker "atlas" freezes
    And the task "wall" is cancelled
    And the worker "atlas" dies
    And the worker "bruno" starts with the agent "builder"
    Then within 16 seconds the task "wall" is CANCELLED
    And it had 1 run
