"""The pure scheduler by itself: no loop, no clock, no network."""

import taskrun

scheduler: taskrun.Scheduler[str] = taskrun.Scheduler()
scheduler.join("small", agents=["coder"], labels={}, slots=1)
scheduler.join("gpu", agents=["coder"], labels={"gpu": "yes"}, slots=4)

needs_gpu = taskrun.Requirement("coder", selector=(("gpu", "yes"),))
print(scheduler.place(needs_gpu), scheduler.place(taskrun.Requirement("coder")))

scheduler.leave("gpu")
assert scheduler.place(needs_gpu) is None  # nobody fits: it has to wait
scheduler.wait(needs_gpu)
scheduler.join("gpu-2", agents=["coder"], labels={"gpu": "yes"}, slots=4)
print([(claim.key, claim.limit) for claim in scheduler.claims()])
