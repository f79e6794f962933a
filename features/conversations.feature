Feature: Conversations
  Some agents remember what they were told. A task of such an agent can be gone on with: after its end by a new task in the
  same conversation, on the worker that holds it, and while it runs by a message that the agent hears when its turn is over.

  Scenario: After the end of a task its conversation goes on in another
    Given the worker "atlas" with the agent "confidant"
    And the worker "bruno" with the agent "confidant"
    And the task "I am Ann" for "confidant" is created
    And the task "I am Ann" is COMPLETED
    When "Who am I?" is said to the agent of "I am Ann"
    Then the task "Who am I?" is COMPLETED
    And its output is "I am Ann, Who am I?"
    And it goes on with "I am Ann", on the same worker
    When "Are you sure?" is said to the agent of "Who am I?"
    Then the task "Are you sure?" is COMPLETED
    And its output is "I am Ann, Who am I?, Are you sure?"
    And the task "I am Ann" is COMPLETED
    And its output is "I am Ann"

  Scenario: A fork leaves the conversation as it was
    Given the worker "atlas" with the agent "confidant"
    And the task "I am Ann" for "confidant" is created
    And the task "I am Ann" is COMPLETED
    When "Call me Eve" is said to a copy of the agent of "I am Ann"
    Then the task "Call me Eve" is COMPLETED
    And its output is "I am Ann, Call me Eve"
    When "Who am I?" is said to the agent of "I am Ann"
    Then the task "Who am I?" is COMPLETED
    And its output is "I am Ann, Who am I?"

  Scenario: While a task runs its agent hears more when its turn is over
    Given the worker "atlas" with the agent "confidant"
    And the task "Take your time" for "confidant" is in the middle of a conversation
    When "I am Ann" is said to the agent of "Take your time"
    Then the answer will be in "Take your time"
    When the work on "Take your time" is finished
    Then the task "Take your time" is COMPLETED
    And it had 1 run
    And in it was said
      | USER      | Take your time           |
      | USER      | I am Ann                 |
      | ASSISTANT | Take your time           |
      | ASSISTANT | Take your time, I am Ann |

  Scenario: A message that was taken survives a connection that breaks
    Given the worker "atlas" with the agent "confidant"
    And the task "Take your time" for "confidant" is in the middle of a conversation
    When "I am Ann" is said to the agent of "Take your time"
    And the connection of the worker "atlas" breaks
    And the work on "Take your time" is finished
    Then within 10 seconds the task "Take your time" is COMPLETED
    And in it was said
      | USER      | Take your time           |
      | USER      | I am Ann                 |
      | ASSISTANT | Take your time           |
      | ASSISTANT | Take your time, I am Ann |

  Scenario: Where the worker that holds the conversation is gone, who speaks is told so at once
    Given the worker "atlas" with the agent "confidant"
    And the task "I am Ann" for "confidant" is created
    And the task "I am Ann" is COMPLETED
    When the worker "atlas" is lost
    And the worker "bruno" starts with the agent "confidant"
    And somebody tries to say "Who am I?" to the agent of "I am Ann"
    Then it is refused as a failed precondition: "is with the worker atlas, which is not connected"

  Scenario: An agent that remembers nothing cannot be talked with
    Given the worker "atlas" with the agent "counter"
    And the task "hello" for "counter" is created
    And the task "hello" is COMPLETED
    When somebody tries to say "and then?" to the agent of "hello"
    Then it is refused as a failed precondition: "has no session to go on with"

  Scenario: A task that waits has nobody to talk with yet
    Given the task "I am Ann" for "confidant" is created
    When somebody tries to say "Who am I?" to the agent of "I am Ann"
    Then it is refused as a failed precondition: "waits still"
