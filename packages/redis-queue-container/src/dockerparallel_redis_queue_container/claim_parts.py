"""The Lua functions of the script by which a worker hands in and claims; see ``scripts.py``."""

from __future__ import annotations

CLAIMING = """
-- How many records a claim hands in, behind its other arguments.
local ended = #ARGV - 7

-- The kind of an outcome: "E" (69) is a failure, "S" (83) a result that is stored apart.
local function kind_of(record) return string.byte(record, string.byte(record) + 2) end

local function size_of(record)
  if kind_of(record) ~= 83 then return #record end
  return #record + tonumber(string.match(record, '^%d+', string.byte(record) + 3))
end

-- Take in the records that a worker has handed in; returns the ids of those that were not its own
-- any more.
local function finish(worker, claimed, keep_s)
  if ended == 0 then return {} end
  local ids, records, dropped, in_order = {}, {}, {}, true
  local head = redis.call('LRANGE', claimed, 0, ended - 1)
  for i = 1, ended do
    ids[i] = id_of(ARGV[i + 7])
    records[i] = ARGV[i + 7]
    if head[i] ~= ids[i] then in_order = false end
  end
  if in_order then
    redis.call('LTRIM', claimed, ended, -1)
  else
    local all = records
    ids, records = {}, {}
    for _, record in ipairs(all) do
      local id = id_of(record)
      if redis.call('LREM', claimed, 1, id) == 1 then
        ids[#ids + 1] = id
        records[#records + 1] = record
      else
        dropped[#dropped + 1] = id
      end
    end
  end
  local done, bytes = 0, 0
  for _, record in ipairs(records) do
    if kind_of(record) ~= 69 then done = done + 1 end
    bytes = bytes + size_of(record)
  end
  redis.call('HINCRBY', p .. 'counts', 'result_bytes', bytes)
  for name, number in pairs({done = done, failed = #records - done}) do
    if number > 0 then
      redis.call('HINCRBY', p .. name, worker, number)
      redis.call('HINCRBY', p .. 'counts', name, number)
    end
  end
  forget(ids)
  deliver(records, keep_s)
  return dropped
end

local function add_tasks(reply, ids)
  if #ids == 0 then return end
  local payloads = redis.call('HMGET', p .. 'payloads', unpack(ids))
  local attempts = redis.call('HMGET', p .. 'attempts', unpack(ids))
  for i, id in ipairs(ids) do
    if payloads[i] then
      reply[#reply + 1] = id
      reply[#reply + 1] = attempts[i] or '0'
      reply[#reply + 1] = payloads[i]
    end
  end
end

-- Claim tasks for a worker: as many as it wants, but no more than a fair share of those that
-- wait, so that others find some, or than 2 ms of work, which no other need be woken for. Of these,
-- half of what waits, or, where it has not ended tasks just now and so what waits may be of another
-- kind, an eighth. One that a worker has died over travels alone. Those whose client is gone are
-- forgotten. Returns also whether it has stopped at so many of these that it is to be asked again.
local function take(worker, claimed, most, empty_handed, pace_us)
  local tasks, taken, room = p .. 'tasks', {}, 32 * 1024 * 1024
  local waiting = redis.call('LLEN', tasks)
  if waiting == 0 then return taken, false end
  local workers = math.max(1, redis.call('HLEN', p .. 'workers'))
  local share = math.ceil(waiting / (2 * workers))
  if pace_us > 0 then
    local part = math.floor(waiting / (ended > 0 and 2 or 8))
    share = math.max(share, math.min(math.floor(2000 / pace_us), part))
  end
  most = math.max(1, math.min(most, share))
  local suspects = redis.call('EXISTS', p .. 'attempts') == 1
  local full, looked_at = false, 0
  while #taken < most and not full and looked_at < 20000 do
    local ids = redis.call('LRANGE', tasks, 0, math.max(most, 50) - 1)
    if #ids == 0 then break end
    local passed, unwanted = 0, {}
    for _, id in ipairs(ids) do
      local size = redis.call('HSTRLEN', p .. 'payloads', id)
      local suspect = suspects and redis.call('HEXISTS', p .. 'attempts', id) == 1
      if size > 0 and not is_wanted(mailbox_of(id)) then
        unwanted[#unwanted + 1] = id
      elseif size > 0 then
        local alone = empty_handed and #taken == 0
        if #taken == most or (suspect and not alone) or (size > room and not alone) then
          full = true
          break
        end
        taken[#taken + 1] = id
        room = room - size
        full = suspect
      end
      passed = passed + 1
      if full then break end
    end
    redis.call('LTRIM', tasks, passed, -1)
    forget(unwanted)
    looked_at = looked_at + passed
  end
  if #taken > 0 then
    local owners = {}
    for i, id in ipairs(taken) do
      owners[2 * i - 1] = id
      owners[2 * i] = worker
    end
    redis.call('RPUSH', claimed, unpack(taken))
    redis.call('HSET', p .. 'owners', unpack(owners))
  end
  return taken, #taken == 0 and looked_at >= 20000
end

-- Put back what a worker that was silent for long holds behind the task that it runs. That worker
-- does not know, and may be beginning one of them: so they keep an owner, and cannot be cancelled.
local function take_spare(before)
  local victim = redis.call('ZRANGEBYSCORE', p .. 'spare', '-inf', before, 'LIMIT', 0, 1)[1]
  if not victim then return false end
  redis.call('ZREM', p .. 'spare', victim)
  local ids = redis.call('LRANGE', p .. 'claimed:' .. victim, 1, -1)
  if #ids == 0 then return false end
  redis.call('LTRIM', p .. 'claimed:' .. victim, 0, 0)
  for i = #ids, 1, -1 do redis.call('LPUSH', p .. 'tasks', ids[i]) end
  return true
end
"""
