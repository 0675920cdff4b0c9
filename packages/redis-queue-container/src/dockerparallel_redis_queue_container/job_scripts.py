"""The Lua scripts of named jobs, and the part of them that other scripts need.

A job's results stay on the server, in a list that only grows, until the job is removed or nobody
has heard of it for the time that results are kept. A session *holds* the job while it submits to it
and collects from it; ``job:<name>`` says which one. See ``scripts.py`` for the conventions.
"""

from __future__ import annotations

from dockerparallel_redis_queue_container.fault_parts import FULL
from dockerparallel_redis_queue_container.script_parts import BASE

NOTE_NUMBERS = """
-- Note which numbers of a job were submitted, and not cancelled: one that attaches later waits for
-- these. All ids are of one mailbox. A number is never given again, since its id may still be in
-- the list of tasks.
local function note_submitted(ids)
  local job = ids[1] and string.match(ids[1], '^@(.*)%.')
  local last = job and redis.call('HGET', p .. 'job:' .. job, 'next')
  if not last then return end
  local next_number = tonumber(last)
  for _, id in ipairs(ids) do
    local number = tonumber(string.match(id, '%d+$'))
    redis.call('SETBIT', p .. 'numbers:@' .. job, number, 1)
    next_number = math.max(next_number, number + 1)
  end
  redis.call('HSET', p .. 'job:' .. job, 'next', next_number)
end

local function note_cancelled(ids)
  for _, id in ipairs(ids) do
    local job, number = string.match(id, '^@(.*)%.(%d+)$')
    if job and redis.call('EXISTS', p .. 'numbers:@' .. job) == 1 then
      redis.call('SETBIT', p .. 'numbers:@' .. job, number, 0)
    end
  end
end
"""

ATTACH = (
    BASE
    + FULL
    + """
-- job, session, description of the session, seconds to keep results, ms after which a silent
-- session holds the job no more, "create", "attach" or "take over"
-- -> {"held", number of the next task}, or {"exists"}, {"missing"}, {"in use", description, ms}
full = memory_is_full()
local job, session, wanted = ARGV[1], ARGV[2], ARGV[6]
local key, now = p .. 'job:' .. job, now_ms()
local exists = redis.call('EXISTS', key) == 1
if wanted ~= 'create' and not exists then return {'missing'} end
if exists then
  local holder, seen, by = unpack(redis.call('HMGET', key, 'holder', 'seen', 'by'))
  if holder ~= session then
    if wanted == 'create' then return {'exists'} end
    local silent = now - tonumber(seen)
    if holder ~= '' and wanted ~= 'take over' and silent <= tonumber(ARGV[5]) then
      return {'in use', by, silent}
    end
    -- Whoever held it submits no more, and learns so.
    redis.call('DEL', p .. 'client:' .. holder)
  end
else
  redis.call('HSET', key, 'created', now, 'next', 0)
  redis.call('SADD', p .. 'jobs', job)
end
redis.call('HSET', key, 'holder', session, 'seen', now, 'by', ARGV[3])
redis.call('SET', p .. 'client:' .. session, '0', 'EX', ARGV[4])
keep_job(job, ARGV[4])
return {'held', redis.call('HGET', key, 'next')}
"""
)

HOLD = (
    BASE
    + FULL
    + """
-- job, session, seconds to keep results, number of its last submission
-- -> 1, or 0 where the session does not hold the job any more, or the server has lost submissions
local key = p .. 'job:' .. ARGV[1]
full = memory_is_full()
if redis.call('HGET', key, 'holder') ~= ARGV[2] then return 0 end
local last = redis.call('GETEX', p .. 'client:' .. ARGV[2], 'EX', ARGV[3])
if not last or tonumber(last) < tonumber(ARGV[4]) then return 0 end
redis.call('HSET', key, 'seen', now_ms())
keep_job(ARGV[1], ARGV[3])
return 1
"""
)

DETACH = (
    BASE
    + FULL
    + """
-- job, session -> 1, or 0 where the session does not hold the job any more
local key = p .. 'job:' .. ARGV[1]
full = memory_is_full()
redis.call('DEL', p .. 'client:' .. ARGV[2])
if redis.call('HGET', key, 'holder') ~= ARGV[2] then return 0 end
redis.call('HSET', key, 'holder', '', 'by', '')
return 1
"""
)

REMOVE = (
    BASE
    + """
-- job, ms as in ATTACH, "1" to remove it though a session holds it
-- -> {"removed", number of the next task}, or as ATTACH
-- Results that come from now on are dropped.
local job = ARGV[1]
local key = p .. 'job:' .. job
local holder, seen, by, next_number =
  unpack(redis.call('HMGET', key, 'holder', 'seen', 'by', 'next'))
if not next_number then return {'missing'} end
local silent = now_ms() - tonumber(seen)
if holder ~= '' and ARGV[3] ~= '1' and silent <= tonumber(ARGV[2]) then
  return {'in use', by, silent}
end
redis.call('DEL', key, p .. 'client:' .. holder, p .. 'numbers:@' .. job)
redis.call('UNLINK', p .. 'results:@' .. job, p .. 'parts:@' .. job, p .. 'signal:@' .. job)
redis.call('SREM', p .. 'jobs', job)
return {'removed', next_number}
"""
)

LIST = (
    BASE
    + """
-- ms as in ATTACH -> name, created, tasks, results, description of the holder of each job
local reply = {}
for _, job in ipairs(redis.call('SMEMBERS', p .. 'jobs')) do
  local created, seen, by = unpack(redis.call('HMGET', p .. 'job:' .. job, 'created', 'seen', 'by'))
  if created then
    if now_ms() - tonumber(seen) > tonumber(ARGV[1]) then by = '' end
    reply[#reply + 1] = {
      job, created, redis.call('BITCOUNT', p .. 'numbers:@' .. job),
      redis.call('LLEN', p .. 'results:@' .. job), by,
    }
  else
    redis.call('SREM', p .. 'jobs', job)
  end
end
return reply
"""
)

JOB_SCRIPTS = (ATTACH, HOLD, DETACH, REMOVE, LIST)
