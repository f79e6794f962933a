Feature: What agents do
  An agent on a worker executes a run. What it says is the task's output; whether it succeeded is its own judgement.

  Scenario: The input is what the agent is asked
    Given the worker "atlas" with the agent "general"
    When the task "Is anybody there?" for "general" is created
    Then the task "Is anybody there?" is COMPLETED
    And its output is "You said: Is anybody there?"

  Scenario: A support ticket is answered with a verdict that programs can read
    Given the worker "atlas" with the agent "support_triage"
    When the task "I was charged twice on my invoice" for "support_triage" is created
    Then the task "I was charged twice on my invoice" is COMPLETED
    And its output is JSON with
      | priority | high    |
      | category | billing |
    And its output is JSON that also has a "summary" and a "suggested_action"

  Scenario: A run says which model it used and what that took
    Given the worker "atlas" with the agent "general"
    When the task "How much?" for "general" is created
    Then the task "How much?" is COMPLETED
    And its run used the model "claude-sonnet-4-5" of "anthropic"
    And its run took more than 0 tokens

  Scenario: An agent that says it failed has failed
    Given the worker "atlas" with the agent "clumsy"
    When the task "vase" for "clumsy" is created
    Then the task "vase" is FAILED
    And its runs are
      | attempt | worker | status | failure     |
      |       1 | atlas  | FAILED | agent_error |
