Feature: Roles
  Whoever runs TaskRun gives each person and each program a certificate that says what it may: see, have work done, or
  everything. What is done is done in the name that stands there, whatever a request says.

  Scenario: Each role may what the one before may, and more
    Given the client "rosa" with the role "read"
    And the client "sam" with the role "submit"
    And the client "ada" with the role "admin"
    When the task "wall" for "builder" is created
    Then of these they may
      | what               | rosa | sam | ada |
      | see the task       | yes  | yes | yes |
      | create a task      | no   | yes | yes |
      | continue the task  | no   | yes | yes |
      | cancel the task    | no   | yes | yes |
      | let a worker in    | no   | no  | yes |
      | list certificates  | no   | no  | yes |
      | revoke a worker    | no   | no  | yes |

  Scenario: What is refused changes nothing, and the words say what it takes
    Given the client "rosa" with the role "read"
    When the task "wall" for "builder" is created
    And "rosa" tries to cancel the task
    Then it is refused as not permitted: "it takes submit"
    And the task "wall" is PENDING

  Scenario: A task is created in the name of whoever created it
    Given the client "sam" with the role "submit"
    When "sam" creates the task "wall" for "builder"
    Then the task "wall" was created by "sam"

  Scenario: Who was revoked may nothing any more, until there is another certificate
    Given the client "sam" with the role "submit"
    When the client "sam" is revoked
    And "sam" tries to see the task
    Then it is refused as unauthenticated: "The client certificate was revoked"
    Given the client "sam" with the role "read"
    When the task "wall" for "builder" is created
    Then of these they may
      | what          | sam |
      | see the task  | yes |
      | create a task | no  |
