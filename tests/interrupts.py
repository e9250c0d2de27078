"""Interrupting a call before any one of its bytecodes, as Ctrl-C may."""

import sys
from itertools import count


def interrupted_everywhere(prepare, *modules):
    """Interrupt a call in the code of these modules, at each bytecode in turn; yield the subject.

    ``prepare()`` returns the call and what is yielded after it was interrupted. It ends with the first call
    that comes to its end before its turn.
    """
    files = {module.__file__ for module in modules}
    for number in count():
        call, subject = prepare()
        if not _interrupted(call, number, files):
            return
        yield subject


def _interrupted(call, number, files):
    passed = 0

    def trace(frame, event, argument):
        nonlocal passed
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed += 1
            if passed > number:
                raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(previous)
    return False
