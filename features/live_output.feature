Feature: Live output
  The story of a task is everything that happened to it: its status, what its agent did and what it said, numbered from
  0. A watcher reads it from any number on, while it grows or long after, and always reads the same.

  Background:
    Given the worker "atlas" with the agent "storyteller"

  Scenario: Output arrives while the agent still speaks
    Given the task "dragons" for "storyteller" is running
    And somebody watches "dragons"
    Then the watcher reads "Once upon a time there were dragons."
    And the task "dragons" is RUNNING
    When the work on "dragons" is finished
    Then the watcher reads "They lived happily ever after."
    And the watch ends with the task COMPLETED

  Scenario: The story is complete and in order
    Given the task "dragons" for "storyteller" is created
    And the work on "dragons" is finished
    When somebody watches "dragons" to the end
    Then the story is numbered from 0 without a gap
    And the story begins with PENDING and ends with COMPLETED
    And its output is "Once upon a time there were dragons. They lived happily ever after."

  Scenario: Who comes late reads the same story
    Given the task "dragons" for "storyteller" is running
    And somebody watches "dragons"
    And the work on "dragons" is finished
    And the task "dragons" is COMPLETED
    When somebody watches "dragons" to the end
    Then both have read the same story

  Scenario: Who comes back reads on where they left
    Given the task "dragons" for "storyteller" is running
    And somebody watches "dragons"
    And the watcher reads "Once upon a time"
    When the watcher goes away
    And the work on "dragons" is finished
    And the watcher comes back for the rest
    Then the watch ends with the task COMPLETED
    And the watcher has read the whole story once

  Scenario: Who asks for what lies behind the end reads nothing
    Given the task "dragons" for "storyteller" is created
    And the work on "dragons" is finished
    And the task "dragons" is COMPLETED
    When somebody watches "dragons" from the number 1000
    Then the watch ends without a word

  Scenario: Each attempt's output is told apart
    Given the task "dragons" for "storyteller" is running
    And somebody watches "dragons"
    And the watcher reads "Once upon a time there were dragons."
    When the worker "atlas" is lost
    And the worker "bruno" starts with the agent "storyteller"
    And the work on "dragons" is finished
    Then the task "dragons" is COMPLETED
    And the watcher has read the output of 2 runs
    And its output is "Once upon a time there were dragons. They lived happily ever after."

  Scenario: A task that nobody made cannot be watched
    When somebody tries to watch a task that does not exist
    Then it is refused as not found
