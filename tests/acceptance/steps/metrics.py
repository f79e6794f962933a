from __future__ import annotations

from pytest_bdd import then

from tests.acceptance.steps.scene import Scene


@then("the metrics show")
def metrics_show(scene: Scene, datatable: list[list[str]]) -> None:
    expected = {row[0]: float(row[1]) for row in datatable}
    shown = scene.driver.metrics()
    assert {name: shown.get(name) for name in expected} == expected
