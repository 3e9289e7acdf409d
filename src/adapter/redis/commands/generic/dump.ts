/** DUMP and RESTORE: values as bytes in the format of Redis' files, to and from any Redis. */
import { assertNever, type HlcTimestamp, NEVER } from '../../../../platform/index.ts';
import {
  NO_EXPIRY,
  newHash,
  newList,
  newOrdered,
  newSet,
  newStream,
  openHash,
  openList,
  openOrdered,
  openSet,
  openStream,
  readString,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, OK, optionName, RedisError, type Reply, requireInteger } from '../../protocol/index.ts';
import { type RdbValue, writePayload } from '../../rdb/index.ts';
import { deleteKey, expiryAt, readValue, ValueType, writeString } from '../../values/index.ts';
import { restoreStream, streamToStore } from '../stream/index.ts';
import { valueInPayload } from '../value-payload.ts';

const ONE_KEY = { first: 1, last: 1, step: 1 } as const;
const MAX_FREQUENCY = 255n;

function dump(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const key = args[1]!;
  const value = readValue(ctx, key);
  if (value === undefined) return null;
  switch (value.type) {
    case ValueType.Hash: {
      const hash = openHash(ctx, key);
      const fields = [...hash.entries()].map(({ name, value: bytes, expireMs }) => ({
        ...{ field: name, value: bytes },
        expiresMs: expireMs === NO_EXPIRY ? undefined : expireMs,
      }));
      return writePayload({ type: 'hash', fields }, { isCompact: hash.encoding === 'listpack' });
    }
    case ValueType.List:
      return writePayload({ type: 'list', values: [...openList(ctx, key).values()] }, { isCompact: false });
    case ValueType.Set: {
      const set = openSet(ctx, key);
      return writePayload({ type: 'set', members: [...set.members()] }, { isCompact: set.encoding === 'intset' });
    }
    case ValueType.ZSet: {
      const order = openOrdered(ctx, key);
      const isCompact = order.encoding === 'listpack';
      return writePayload({ type: 'zset', members: [...order.entries()] }, { isCompact });
    }
    case ValueType.Stream:
      return writePayload(streamToStore(openStream(ctx, key)!), { isCompact: false });
    default:
      return writePayload({ type: 'string', bytes: readString(ctx, key)!.payload }, { isCompact: false });
  }
}

interface RestoreOptions {
  readonly isReplacing: boolean;
  /** The expiry is a unix time. */
  readonly isAbsolute: boolean;
}

/** @throws RedisError */
function parseRestore(args: readonly Buffer[]): RestoreOptions {
  let isReplacing = false;
  let isAbsolute = false;
  let given: 'IDLETIME' | 'FREQ' | undefined;
  for (let index = 4; index < args.length; index++) {
    const name = optionName(args[index]!);
    const argument = args[index + 1];
    if (name === 'REPLACE') isReplacing = true;
    else if (name === 'ABSTTL') isAbsolute = true;
    else if (name === 'IDLETIME' && argument !== undefined && given !== 'FREQ') {
      if (requireInteger(argument) < 0n) throw new RedisError('ERR Invalid IDLETIME value, must be >= 0');
      given = name;
      index++;
    } else if (name === 'FREQ' && argument !== undefined && given !== 'IDLETIME') {
      const frequency = requireInteger(argument);
      if (frequency < 0n || frequency > MAX_FREQUENCY)
        throw new RedisError('ERR Invalid FREQ value, must be >= 0 and <= 255');
      given = name;
      index++;
    } else throw errors.syntax();
  }
  return { isReplacing, isAbsolute };
}

function restore(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { isReplacing, isAbsolute } = parseRestore(args);
  const key = args[1]!;
  if (!isReplacing && ctx.view.get(ctx.storageKey(key)) !== undefined) {
    throw new RedisError('BUSYKEY Target key name already exists.');
  }
  const ttlMs = requireInteger(args[2]!);
  if (ttlMs < 0n) throw new RedisError('ERR Invalid TTL value, must be >= 0');
  const value = valueInPayload(ctx, args[3]!);
  // As in Redis, a time that is too large is one before 1970.
  const atMs = BigInt.asIntN(64, ttlMs === 0n || isAbsolute ? ttlMs : ttlMs + BigInt(ctx.nowMs));
  if (ttlMs !== 0n && atMs <= BigInt(ctx.nowMs)) {
    if (deleteKey(ctx, key)) ctx.event('generic', 'del', key);
  } else {
    ctx.replaced(ctx.storageKey(key), key);
    write(ctx, key, value, ttlMs === 0n ? NEVER : expiryAt(atMs));
    ctx.event('generic', 'restore', key);
  }
  return OK;
}

/** Replaces whatever the key holds. */
function write(ctx: CommandContext, key: Buffer, value: RdbValue, expireTs: HlcTimestamp): void {
  switch (value.type) {
    case 'string':
      writeString(ctx, key, value.bytes, expireTs);
      break;
    case 'list': {
      const list = newList(ctx, key);
      list.pushLast(value.values);
      list.save(expireTs);
      break;
    }
    case 'set': {
      const set = newSet(ctx, key);
      for (const member of value.members) set.add(member);
      set.save(expireTs);
      break;
    }
    case 'hash': {
      const hash = newHash(ctx, key);
      for (const { field, value: bytes, expiresMs = NO_EXPIRY } of value.fields) {
        if (expiresMs === NO_EXPIRY || expiresMs > ctx.nowMs) hash.set(field, bytes, expiresMs);
      }
      hash.save(expireTs);
      break;
    }
    case 'zset': {
      const order = newOrdered(ctx, key);
      for (const { member, score } of value.members) order.set(member, score);
      order.save(expireTs);
      break;
    }
    case 'stream':
      restoreStream(newStream(ctx, key), value).save(expireTs);
      break;
    default:
      assertNever(value);
  }
}

export const dumpCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'dump',
    arity: 2,
    flags: ['readonly'],
    keys: ONE_KEY,
    group: 'generic',
    since: '2.6.0',
    summary: 'The value of a key as bytes that RESTORE takes, here and in any Redis.',
    differences:
      'The bytes are those of Redis 7.0 (version 10), but not always the same ones for the same value. A hash whose fields expire is written as ' +
      'Redis 7.4 does (version 12).',
    complexity: 'O(N) in the size of the value',
    handler: { kind: 'data', run: dump },
  },
  {
    name: 'restore',
    writesWholeValue: true,
    arity: -4,
    flags: ['write', 'denyoom'],
    keys: ONE_KEY,
    group: 'generic',
    aclCategories: ['dangerous'],
    since: '2.6.0',
    summary: 'Makes a key of bytes that DUMP has given.',
    differences:
      'Reads what Redis up to 7.4 writes, but for values of modules. All of the bytes are checked. IDLETIME and FREQ are checked ' +
      'and have no effect.',
    complexity: 'O(N) in the size of the value',
    handler: { kind: 'data', run: restore },
  },
]);
