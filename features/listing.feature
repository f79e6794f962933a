Feature: Listing
  Tasks are listed newest first, all of them or those that match, page by page. A page follows the one before, whatever is
  created meanwhile.

  Background:
    Given these tasks are created
      | task  | agent   | labels             |
      | wall  | builder | team=red           |
      | roof  | builder | team=blue          |
      | poem  | general | team=red, lang=en  |
      | essay | general | team=blue, lang=en |

  Scenario: Newest first
    Then the list of tasks is "essay, poem, roof, wall"

  Scenario Outline: Those that match
    When the task "roof" is cancelled
    Then the list of tasks with <filter> is "<tasks>"

    Examples:
      | filter                          | tasks             |
      | agent=builder                   | roof, wall        |
      | label=team=red                  | poem, wall        |
      | label=team=blue label=lang=en   | essay             |
      | status=PENDING                  | essay, poem, wall |
      | status=CANCELLED                | roof              |
      | status=PENDING agent=builder    | wall              |
      | label=team=green                |                   |

  Scenario: Page by page, undisturbed by what is created meanwhile
    When somebody lists 3 tasks
    Then the page is "essay, poem, roof"
    When the task "latest" for "general" is created
    And somebody lists the next page
    Then the page is "wall"
    And it is the last page

  Scenario: A page token that is none is refused
    When somebody tries to list the page after "nonsense"
    Then it is refused as an invalid argument

  Scenario: A request that is repeated makes one task
    When the task "bill" for "general" is created with
      | idempotency_key | june |
    And the same is asked again
    Then both answers are one task
    And the list of tasks is "bill, essay, poem, roof, wall"

  Scenario: A key that was used for something else is refused
    When the task "bill" for "general" is created with
      | idempotency_key | july |
    And somebody tries to create the task "other bill" for "general" with
      | idempotency_key | july |
    Then it is refused because it already exists
    And the list of tasks is "bill, essay, poem, roof, wall"
