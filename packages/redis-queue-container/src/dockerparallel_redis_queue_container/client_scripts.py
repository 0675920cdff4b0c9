"""The Lua scripts of a client: it comes, submits, takes results, cancels, goes."""

from __future__ import annotations

from dockerparallel_redis_queue_container.fault_parts import FULL
from dockerparallel_redis_queue_container.job_scripts import NOTE_NUMBERS
from dockerparallel_redis_queue_container.script_parts import BASE, FORGET, HAND_OUT

ANNOUNCE = (
    BASE
    + FULL
    + """
-- client, seconds to keep its results, whose it is ('' = not known) -> client and whose it is of
-- each that was here before
full = memory_is_full()
local others, clients = {}, redis.call('HGETALL', p .. 'clients')
for i = 1, #clients, 2 do
  if is_wanted(clients[i]) then
    others[#others + 1] = clients[i]
    others[#others + 1] = clients[i + 1]
  else
    redis.call('HDEL', p .. 'clients', clients[i])
  end
end
redis.call('SET', p .. 'client:' .. ARGV[1], '0', 'EX', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', p .. 'clients', ARGV[1], ARGV[3]) end
return others
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
redis.call('UNLINK', p .. 'parts:' .. ARGV[1])
redis.call('HDEL', p .. 'clients', ARGV[1])
redis.call('RPUSH', signal, '')
redis.call('EXPIRE', signal, ARGV[2])
return 1
"""
)

SUBMIT = (
    BASE
    + FULL
    + FORGET
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
-- What is read and not returned has been copied for nothing, so the first tells how many to read.
local start, number, last_one = first, 1, first + most - 1
while start <= last_one do
  local part = redis.call('LRANGE', results, start, math.min(start + number - 1, last_one))
  for _, record in ipairs(part) do
    reply[#reply + 1] = record
    room = room - #record
    if room <= 0 then return reply end
  end
  if #part < number then break end
  start = start + number
  number = math.max(1, math.min(32, math.floor(room / #part[#part])))
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
