Feature: Enrolment
  A new machine becomes a worker with a bootstrap token. It makes a key of its own, shows the token, and gets a
  certificate for that key: from then on, whatever it claims, the certificate says who it is.

  Scenario: A token lets one worker in
    Given a token for the worker "atlas"
    When a machine enrols with the token
    Then it is now the worker "atlas"
    And the worker "atlas" can connect

  Scenario: The control plane makes up an id where none is asked for
    Given a token for a worker without a name
    When a machine enrols with the token
    Then it is now the worker that the token names

  Scenario Outline: A token that is no good is refused, and the words do not tell why
    Given a token that is <kind>
    When a machine tries to enrol with the token
    Then it is refused as unauthenticated: "The bootstrap token is unknown, expired or already used"

    Examples:
      | kind    |
      | used    |
      | unknown |
      | expired |

  Scenario: A mistake in the request does not cost the token
    Given a token for the worker "atlas"
    When a machine tries to enrol with a malformed request
    Then it is refused as an invalid argument
    When a machine enrols with the token
    Then it is now the worker "atlas"

  Scenario Outline: A token that nobody could use is not made
    When somebody asks for a token for the worker "<worker>" that lasts <seconds> seconds
    Then it is refused as an invalid argument: "<words>"

    Examples:
      | worker | seconds | words                                          |
      | Atlas! |    3600 | is no worker id                                |
      | atlas  | 1000000 | A bootstrap token is valid for 1 second to 7 days. |
