Feature: Revocation
  An operator can put a worker out for good: its certificates are worth nothing from then on. Its runs go to others at
  once, for it cannot come back to them. Only a new token lets a worker of that name in again.

  Scenario: The run of a revoked worker goes to another at once
    Given the worker "atlas" with the agent "builder"
    And the task "wall" for "builder" is running
    And the worker "bruno" with the agent "builder"
    When the worker "atlas" is revoked
    Then within 5 seconds the task "wall" is running on "bruno"
    And within 5 seconds the worker "atlas" is gone
    When the work on "wall" is finished
    Then the task "wall" is COMPLETED
    And its runs are
      | attempt | worker | status    | failure     |
      |       1 | atlas  | FAILED    | worker_lost |
      |       2 | bruno  | COMPLETED |             |
    And nothing of its first run executes any more

  Scenario: A token from before does not let it in again, and one from afterwards does
    Given a token for the worker "atlas"
    When the worker "atlas" is revoked
    And a machine tries to enrol with the token
    Then it is refused as unauthenticated: "The bootstrap token is unknown, expired or already used"
    Given a token for the worker "atlas"
    When a machine enrols with the token
    Then it is now the worker "atlas"
    And the worker "atlas" can connect
