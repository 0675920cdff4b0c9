"""The Lua scripts by which a client comes and goes; see ``scripts.py``."""

from __future__ import annotations

from dockerparallel_redis_queue_container.fault_parts import FULL
from dockerparallel_redis_queue_container.script_parts import BASE

ANNOUNCE = (
    BASE
    + FULL
    + """
-- client, seconds to keep its results
full = memory_is_full()
redis.call('SET', p .. 'client:' .. ARGV[1], '0', 'EX', ARGV[2])
return 1
"""
)

FORGET_CLIENT = (
    BASE
    + FULL
    + """
-- client, seconds that its signal, which wakes it, is kept
full = memory_is_full()
local signal = p .. 'signal:' .. ARGV[1]
redis.call('DEL', p .. 'client:' .. ARGV[1], p .. 'results:' .. ARGV[1])
redis.call('RPUSH', signal, '')
redis.call('EXPIRE', signal, ARGV[2])
return 1
"""
)
