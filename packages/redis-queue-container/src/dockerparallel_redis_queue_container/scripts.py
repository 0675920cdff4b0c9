"""The Lua scripts of the queue: each is one atomic step in the life of many tasks.

Scripts, because a step moves ids and their bookkeeping together: a client, worker or connection
that dies leaves either all of a step or nothing of it. Each step may be repeated when its reply
was lost. All take the prefix of the keys as their only key (see ``keys.py``; the hash tag keeps
the others in the same slot) and use no command that Redis 6.2 lacks. Times are milliseconds of
the server's clock, so that the clocks of clients and workers do not matter.

Steps take many tasks at once, and touch a key once for all of them: most of what a command costs
is its call, not its work.
"""

from __future__ import annotations

from dockerparallel_redis_queue_container.client_scripts import ANNOUNCE, FORGET_CLIENT
from dockerparallel_redis_queue_container.fault_parts import (
    CLAIM_WHEN_FULL,
    EXPIRY,
    FULL,
    LOOK_BACK,
)
from dockerparallel_redis_queue_container.job_scripts import JOB_SCRIPTS, NOTE_NUMBERS
from dockerparallel_redis_queue_container.script_parts import (
    BASE,
    CLAIMING,
    DELIVER,
    FORGET,
    HAND_OUT,
    REQUEUE,
)

SUBMIT = (
    BASE
    + FULL
    + HAND_OUT
    + NOTE_NUMBERS
    + """
-- session, number of this submission, then id, payload, names of its blobs of each task
-- -> 1, or 0 where the server does not know the session or has lost submissions of it, or the names
--    of blobs that are not there
local announced = p .. 'client:' .. ARGV[1]
local last = redis.call('GET', announced)
if not last then return 0 end
if tonumber(ARGV[2]) <= tonumber(last) then return 1 end
if tonumber(ARGV[2]) > last + 1 then return 0 end
if memory_is_full() then return redis.error_reply('OOM the memory of the server is full') end

local missing = {}
for i = 5, #ARGV, 3 do
  for name in string.gmatch(ARGV[i], '%S+') do
    if redis.call('EXISTS', p .. 'blob:' .. name) == 0 then missing[#missing + 1] = name end
  end
end
if #missing > 0 then return missing end

local ids, pairs_, bytes = {}, {}, 0
for i = 3, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
  pairs_[#pairs_ + 1] = ARGV[i]
  pairs_[#pairs_ + 1] = ARGV[i + 1]
  bytes = bytes + #ARGV[i + 1]
  if ARGV[i + 2] ~= '' then
    redis.call('HSET', p .. 'needs', ARGV[i], ARGV[i + 2])
    for name in string.gmatch(ARGV[i + 2], '%S+') do
      local uses = redis.call('HINCRBY', p .. 'uses', name, 1)
      if uses == 2 then redis.call('SET', p .. 'again:' .. name, '', 'EX', 10) end
      if redis.call('TTL', p .. 'blob:' .. name) > 10 then
        -- It has just been put.
        bytes = bytes + redis.call('STRLEN', p .. 'blob:' .. name)
      end
      redis.call('PERSIST', p .. 'blob:' .. name)
    end
  end
end
redis.call('HINCRBY', p .. 'counts', 'submitted', #ids)
redis.call('HINCRBY', p .. 'counts', 'task_bytes', bytes)
in_parts(pairs_, function(...) redis.call('HSET', p .. 'payloads', ...) end)
in_parts(ids, function(...) redis.call('RPUSH', p .. 'tasks', ...) end)
redis.call('SET', announced, ARGV[2], 'KEEPTTL')
redis.call('PERSIST', p .. 'code')
note_submitted(ids)
hand_out()
return 1
"""
)

CLAIM = (
    BASE
    + FULL
    + FORGET
    + DELIVER
    + CLAIMING
    + CLAIM_WHEN_FULL
    + """
-- worker, lease_ms, seconds to keep outcomes, how many tasks it wants, how many it believes to
-- hold, ms after which a silent worker's spare tasks are taken, us that it takes for a task (0 =
-- not known); then the record of each task that it has finished
-- -> {are these all that it holds, is it worth asking again soon, number of records dropped, their
--    ids, then id, attempts, payload of each task}
full = memory_is_full()
local worker, lease_ms, keep_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most, holding, stale_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local pace_us, claimed, now = tonumber(ARGV[7]), p .. 'claimed:' .. worker, now_ms()
local reply = {0, 0, 0}

for _, id in ipairs(finish(worker, claimed, keep_s)) do
  reply[3] = reply[3] + 1
  reply[#reply + 1] = id
end
note_pace(pace_us)

-- A worker that was taken for dead and lives gets a lease again before it gets work.
local expiry = redis.call('ZSCORE', p .. 'leases', worker)
if not expiry or tonumber(expiry) <= now then
  redis.call('ZADD', p .. 'leases', now + lease_ms, worker)
end
if redis.call('ZREM', p .. 'idle', worker) == 0 then redis.call('DEL', p .. 'inbox:' .. worker) end

local held = redis.call('LLEN', claimed)
if held ~= holding then
  -- A reply was lost, or others have taken what it did not begin: it is told all that it holds.
  reply[1] = 1
  add_tasks(reply, redis.call('LRANGE', claimed, 0, -1))
end
if most > 0 and (held == 0 or held == holding and not full) then
  local taken
  if full then
    taken = take_when_full(worker, claimed)
  else
    taken = take(worker, claimed, most, held == 0, pace_us)
    if #taken == 0 and held == 0 and take_spare(now - stale_ms) then
      taken = take(worker, claimed, most, true, pace_us)
    end
  end
  held = held + #taken
  add_tasks(reply, taken)
  if held == 0 then redis.call('ZADD', p .. 'idle', now, worker) end
end
if held > 1 then
  redis.call('ZADD', p .. 'spare', now, worker)
else
  redis.call('ZREM', p .. 'spare', worker)
end
if held == 0 then reply[2] = redis.call('EXISTS', p .. (full and 'tasks' or 'spare')) end
return reply
"""
)

GIVE_BACK = (
    BASE
    + FULL
    + HAND_OUT
    + """
-- worker, us that its task takes already (0 = not known), ids that it holds and has not begun, in
-- their order -> number of those given back
full = memory_is_full()
local claimed, given = p .. 'claimed:' .. ARGV[1], 0
for i = #ARGV, 3, -1 do
  if redis.call('LREM', claimed, -1, ARGV[i]) == 1 then
    redis.call('HDEL', p .. 'owners', ARGV[i])
    redis.call('LPUSH', p .. 'tasks', ARGV[i])
    given = given + 1
  end
end
if redis.call('LLEN', claimed) < 2 then redis.call('ZREM', p .. 'spare', ARGV[1]) end
note_pace(tonumber(ARGV[2]))
hand_out()
return given
"""
)

RENEW = (
    BASE
    + FULL
    + """
-- lease_ms, then id and description of each worker
full = memory_is_full()
local expiry = now_ms() + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', p .. 'leases', expiry, ARGV[i])
  redis.call('HSET', p .. 'workers', ARGV[i], ARGV[i + 1])
end
return 1
"""
)

BURY = (
    BASE
    + FULL
    + EXPIRY
    + FORGET
    + DELIVER
    + HAND_OUT
    + REQUEUE
    + """
-- worker, most attempts, seconds to keep outcomes, outcome of a task given up, '1' to count it,
-- id of the task that it ran ('' = not known, '-' = none)
full = memory_is_full()
-- The worker stays among the leases, so that what a late claim of it takes is reaped too.
redis.call('ZADD', p .. 'leases', now_ms(), ARGV[1])
redis.call('HDEL', p .. 'workers', ARGV[1])
if ARGV[5] == '1' then redis.call('HINCRBY', p .. 'counts', 'died', 1) end
local blamed = ARGV[5] == '1' and ARGV[6] or '-'
local moved = requeue(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], blamed)
hand_out()
renew_expiry(ARGV[3])
return moved
"""
)

REAP = (
    BASE
    + FULL
    + EXPIRY
    + LOOK_BACK
    + FORGET
    + DELIVER
    + HAND_OUT
    + REQUEUE
    + """
-- most attempts, seconds to keep outcomes, grace_ms, outcome of a task given up, lease_ms
-- -> tasks moved
full = memory_is_full()
local limit, keep_s, grace_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local died = ARGV[4]
local now, moved = now_ms(), 0
look_back(now, tonumber(ARGV[5]))
local dead = redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now, 'WITHSCORES')
for i = 1, #dead, 2 do
  local worker = dead[i]
  moved = moved + requeue(worker, limit, keep_s, died, '')
  if redis.call('HDEL', p .. 'workers', worker) == 1 then
    redis.call('HINCRBY', p .. 'counts', 'died', 1)
  end
  if tonumber(dead[i + 1]) <= now - grace_ms then
    redis.call('ZREM', p .. 'leases', worker)
    redis.call('HDEL', p .. 'done', worker)
    redis.call('HDEL', p .. 'failed', worker)
  end
end
if moved > 0 then hand_out() end
renew_expiry(ARGV[2])
return moved
"""
)

TAKE = (
    BASE
    + """
-- mailbox, number and last id of the results that have arrived, most results, most bytes, number
-- of results to pass over -> records
-- The last id makes it safe to acknowledge twice.
local results, arrived = p .. 'results:' .. ARGV[1], tonumber(ARGV[2])
if arrived > 0 then
  local last = redis.call('LINDEX', results, arrived - 1)
  if last and id_of(last) == ARGV[3] then redis.call('LTRIM', results, arrived, -1) end
end
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local reply, first = {}, tonumber(ARGV[6])
for start = first, first + most - 1, 32 do
  local part = redis.call('LRANGE', results, start, math.min(start + 31, first + most - 1))
  for _, record in ipairs(part) do
    reply[#reply + 1] = record
    room = room - #record
    if room <= 0 then return reply end
  end
  if #part < 32 then break end
end
return reply
"""
)

CANCEL = (
    BASE
    + FORGET
    + NOTE_NUMBERS
    + """
-- token of this request, or '', then ids -> a digit for each: 1 where it will never run, 0 where it
-- runs, 2 where that is decided soon: it waits at a worker, behind another, or is done or cancelled
-- A repetition of a request with a token is told what the first was.
local answer = ARGV[1] ~= '' and p .. 'cancelled:' .. ARGV[1]
local reply, dropped = answer and redis.call('GET', answer), {}
if reply then return reply end
reply = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local owner = redis.call('HGET', p .. 'owners', id)
  if owner then
    -- A worker runs its tasks in their order.
    local first = redis.call('LINDEX', p .. 'claimed:' .. owner, 0)
    reply[#reply + 1] = first == id and '0' or '2'
  elseif redis.call('HDEL', p .. 'payloads', id) == 1 then
    dropped[#dropped + 1] = id
    reply[#reply + 1] = '1'
  else
    reply[#reply + 1] = '2'
  end
end
forget(dropped)
note_cancelled(dropped)
reply = table.concat(reply)
if answer and #dropped > 0 then redis.call('SET', answer, reply, 'EX', 60) end
return reply
"""
)

RUNNING = """
-- id -> 1 where a worker runs it, else 0; what waits behind another does not run
local p = KEYS[1]
local owner = redis.call('HGET', p .. 'owners', ARGV[1])
if not owner then return 0 end
return redis.call('LINDEX', p .. 'claimed:' .. owner, 0) == ARGV[1] and 1 or 0
"""

ALL_SCRIPTS = (
    *(ANNOUNCE, FORGET_CLIENT, SUBMIT, CLAIM, GIVE_BACK, RENEW, BURY, REAP, TAKE, CANCEL, RUNNING),
    *JOB_SCRIPTS,
)
