Feature: Limits
  What is too large, malformed or out of range is refused with a sentence that says what is wrong, and nothing is created.

  Scenario Outline: A task that cannot be is refused, and nothing is created
    When somebody tries to create a task with <what>
    Then it is refused as an invalid argument: "<words>"
    And no task was created

    Examples:
      | what                        | words                                       |
      | an input of 1048577 bytes   | at most 1048576                             |
      | an input that is no JSON    | input_json                                  |
      | an input with NaN           | input_json                                  |
      | an input 65 levels deep     | at most 64                                  |
      | an input with a doubled key | input_json                                  |
      | the agent name "../etc"     | is no agent name                            |
      | 65 labels                   | entries: at most 64 are allowed.            |
      | a label of 256 characters   | has 256 characters: at most 255 are allowed |
      | a priority of 1001          | priority is 1001: it must be -1000 to 1000. |
      | 101 attempts                | max_attempts is 101: it must be 1 to 100.   |

  Scenario: The largest input that is allowed reaches the agent
    Given the worker "atlas" with the agent "counter"
    When a task for "counter" with an input of 1048576 bytes is created
    Then it is COMPLETED
    And its output is "1048574"
