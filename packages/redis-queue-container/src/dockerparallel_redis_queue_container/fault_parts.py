"""The Lua functions of the scripts for a server that was away, or whose memory is full."""

from __future__ import annotations

FULL = """
-- At full memory the server refuses a command that may need more, unless the script has written
-- before. So this tells whether the memory is full, and lets the script go on all the same.
local function memory_is_full()
  local reply = redis.pcall('RPUSHX', p .. 'nothing', '')
  if type(reply) ~= 'table' then return false end
  redis.call('DEL', p .. 'nothing')
  return true
end
"""

CLAIM_WHEN_FULL = """
-- At full memory a worker gets one task at a time, so that payloads are freed, and none of a client
-- that does not fetch what it was given: else results would need more and more.
local function take_when_full(worker, claimed)
  local tasks = p .. 'tasks'
  for _, id in ipairs(redis.call('LRANGE', tasks, 0, 99)) do
    local mailbox = mailbox_of(id)
    local unfetched = 0
    for _, name in ipairs({'results:', 'parts:'}) do
      local used = redis.call('MEMORY', 'USAGE', p .. name .. mailbox, 'SAMPLES', 1)
      unfetched = unfetched + (used or 0)
    end
    if redis.call('HEXISTS', p .. 'payloads', id) == 0 or not is_wanted(mailbox) then
      redis.call('LREM', tasks, 1, id)
      forget({id})
    elseif unfetched <= 1048576 then
      redis.call('LREM', tasks, 1, id)
      redis.call('RPUSH', claimed, id)
      redis.call('HSET', p .. 'owners', id, worker)
      return {id}
    end
  end
  return {}
end
"""

LOOK_BACK = """
-- Where nobody has looked for half a lease, the server was away, stood still, or was alone: nobody
-- could renew a lease. Those that were good then are good for a whole one from now on.
local function look_back(now, lease_ms)
  local last = tonumber(redis.call('GET', p .. 'reaped') or now)
  if now - last > lease_ms / 2 then
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', p .. 'leases', '(' .. last, '+inf')) do
      redis.call('ZADD', p .. 'leases', 'GT', now + lease_ms, worker)
    end
  end
  redis.call('SET', p .. 'reaped', now)
end
"""

EXPIRY = """
-- What is left when all tasks are done expires where nobody asks for it any more.
local function renew_expiry(keep_s)
  local kept = {
    'leases', 'workers', 'idle', 'spare', 'done', 'failed', 'counts', 'reaped', 'clients',
  }
  for _, name in ipairs(kept) do redis.call('EXPIRE', p .. name, keep_s) end
  if redis.call('EXISTS', p .. 'payloads') == 0 then redis.call('EXPIRE', p .. 'code', keep_s) end
end
"""
