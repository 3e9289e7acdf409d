/**
 * The settings that CONFIG GET shows and CONFIG SET changes. What a client or a tool asks for is here, with values that
 * are true of kvorum: every write is durable before it is acknowledged, nothing is ever evicted, nothing is saved by hand.
 */
import { HIDDEN } from '../../../../security/index.ts';
import type { EncodingThresholds } from '../../bodies/index.ts';
import {
  type ClientSession,
  formatEventFlags,
  parseEventFlags,
  type RedisConfig,
  type ServerContext,
  spellEventFlags,
} from '../../command/index.ts';
import { DATABASE_COUNT } from '../../keys/index.ts';
import { featureText, INT64_MAX, memoryBytes, parseInteger, RedisError, wordOf } from '../../protocol/index.ts';
import { changedOutputLimits, outputLimitsText } from './output-limits.ts';

export interface Setting {
  readonly name: string;
  get(state: ServerContext, session: ClientSession): string;
  /** Absent: the setting cannot be changed at runtime. @throws RedisError with the reason only */
  readonly set?: (state: ServerContext, value: Buffer) => void;
  /** In place of `set` where the whole cluster has the setting. @throws RedisError with the whole text */
  readonly setShared?: (state: ServerContext, value: Buffer) => Promise<void>;
}

/** The names of the configuration's numbers. */
type NumericKey = { [Key in keyof RedisConfig]: RedisConfig[Key] extends number ? Key : never }[keyof RedisConfig];

function inRange(value: bigint, low: bigint, high: bigint): number {
  if (value < low || value > high) {
    throw new RedisError(`argument must be between ${low} and ${high} inclusive`);
  }
  // Beyond 2^53 a limit is no limit.
  return Number(value);
}

function memoryValue(argument: Buffer): bigint {
  const bytes = memoryBytes(argument);
  if (bytes === undefined) throw new RedisError('argument must be a memory value');
  return bytes;
}

/** A number that is kept in the configuration. */
function numeric(name: string, key: NumericKey, low: bigint, high: bigint, isMemory = false): Setting {
  return {
    name,
    get: (state) => String(state.config[key]),
    set: (state, argument) => {
      const value = isMemory ? memoryValue(argument) : parseInteger(argument);
      if (value === undefined) throw new RedisError("argument couldn't be parsed into an integer");
      state.reconfigure({ ...state.config, [key]: inRange(value, low, high) });
    },
  };
}

/** A value that never changes. */
const constant = (name: string, value: string): Setting => ({ name, get: () => value });

/** A value that may be "set" to what it is: tools do that. */
const fixed = (name: string, value: string): Setting => ({
  name,
  get: () => value,
  set: (_state, argument) => {
    if (argument.toString('latin1').toLowerCase() !== value) {
      throw new RedisError(`this server knows only the value '${value}'`);
    }
  },
});

/**
 * An option of Redis that decides nothing here: it is checked as Redis checks it, and remembered, because tools set it and look
 * whether it took.
 * @param old the name that it had before, which goes on meaning it
 */
function remembered(initial: string, name: string, read: (argument: Buffer) => string, old?: string): Setting[] {
  return (old === undefined ? [name] : [name, old]).map((one) => ({
    name: one,
    get: ({ config }) => config.remembered.get(name) ?? initial,
    set: (state, argument) => {
      const { config } = state;
      state.reconfigure({ ...config, remembered: new Map(config.remembered).set(name, read(argument)) });
    },
  }));
}

const MAX_I32 = 2147483647n;

/** Reads an integer of a range. */
const integer =
  (low: bigint, high = INT64_MAX) =>
  (argument: Buffer): string => {
    const value = parseInteger(argument);
    if (value === undefined) throw new RedisError("argument couldn't be parsed into an integer");
    inRange(value, low, high);
    return String(value);
  };

const count = integer(0n);

const memory = (argument: Buffer): string => {
  const value = memoryValue(argument);
  inRange(value, 0n, INT64_MAX);
  return String(value);
};

const yesOrNo = (argument: Buffer): string => {
  const word = wordOf(argument);
  if (word !== 'yes' && word !== 'no') throw new RedisError("argument must be 'yes' or 'no'");
  return word;
};

function percentiles(argument: Buffer): number[] {
  return argument
    .toString('latin1')
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const percent = Number(word);
      if (percent >= 0 && percent <= 100) return percent;
      throw new RedisError('latency-tracking-info-percentiles parameters should sit between [0.0,100.0]');
    });
}

/** Reads one of a few words, in any case. */
const oneWordOf =
  (...words: readonly string[]) =>
  (argument: Buffer): string => {
    const word = wordOf(argument);
    if (!words.includes(word)) throw new RedisError(`argument(s) must be one of the following: ${words.join(', ')}`);
    return word;
  };

/** A threshold between encodings; beyond 2^53 it is none. @param old the name that it had before, which goes on meaning it */
function threshold(
  name: string,
  key: keyof EncodingThresholds,
  read: (argument: Buffer) => string,
  old?: string,
): Setting[] {
  return (old === undefined ? [name] : [name, old]).map((one) => ({
    name: one,
    get: ({ config }) => String(config.encodings[key]),
    set: (state, argument) => {
      const { config } = state;
      state.reconfigure({ ...config, encodings: { ...config.encodings, [key]: Number(read(argument)) } });
    },
  }));
}

/** What OBJECT ENCODING goes by. */
const THRESHOLDS: readonly Setting[] = [
  ...threshold('hash-max-listpack-entries', 'hashFields', count, 'hash-max-ziplist-entries'),
  ...threshold('hash-max-listpack-value', 'hashBytes', memory, 'hash-max-ziplist-value'),
  ...threshold('hll-sparse-max-bytes', 'sketchBytes', memory),
  ...threshold('set-max-intset-entries', 'setIntegers', count),
  ...threshold('zset-max-listpack-entries', 'orderMembers', count, 'zset-max-ziplist-entries'),
  ...threshold('zset-max-listpack-value', 'orderBytes', memory, 'zset-max-ziplist-value'),
];

/** How Redis lays out what has one encoding here or is not there, when it frees. */
const REMEMBERED: readonly Setting[] = [
  ...remembered('1', 'active-expire-effort', integer(1n, 10n)),
  ...remembered('yes', 'activerehashing', yesOrNo),
  ...remembered('5000', 'busy-reply-threshold', count, 'lua-time-limit'),
  ...remembered('no', 'lazyfree-lazy-eviction', yesOrNo),
  ...remembered('no', 'lazyfree-lazy-expire', yesOrNo),
  ...remembered('no', 'lazyfree-lazy-server-del', yesOrNo),
  ...remembered('no', 'lazyfree-lazy-user-del', yesOrNo),
  ...remembered('no', 'lazyfree-lazy-user-flush', yesOrNo),
  ...remembered('0', 'list-compress-depth', integer(0n, MAX_I32)),
  ...remembered('-2', 'list-max-listpack-size', integer(-MAX_I32 - 1n, MAX_I32), 'list-max-ziplist-size'),
  ...remembered('5', 'maxmemory-samples', integer(1n, MAX_I32)),
  ...remembered('4096', 'stream-node-max-bytes', memory),
  ...remembered('100', 'stream-node-max-entries', count),
];

/** A policy of eviction, which does not happen here; those with LFU make OBJECT FREQ count. */
const policy = oneWordOf(
  ...['volatile-lru', 'volatile-lfu', 'volatile-random', 'volatile-ttl'],
  ...['allkeys-lru', 'allkeys-lfu', 'allkeys-random', 'noeviction'],
);

export const SETTINGS: readonly Setting[] = [
  { name: 'aclfile', get: ({ users }) => users.file ?? '' },
  ...remembered('128', 'acllog-max-len', count),
  ...remembered('resetchannels', 'acl-pubsub-default', oneWordOf('allchannels', 'resetchannels')),
  fixed('appendfsync', 'always'),
  fixed('appendonly', 'yes'),
  {
    name: 'client-output-buffer-limit',
    get: ({ config }) => outputLimitsText(config.outputLimits),
    set: (state, argument) => {
      const { config } = state;
      state.reconfigure({ ...config, outputLimits: changedOutputLimits(config.outputLimits, argument) });
    },
  },
  numeric('client-query-buffer-limit', 'maxCommandBytes', 1048576n, INT64_MAX, true),
  { name: 'cluster-enabled', get: (_state, session) => (session.isClusterMode ? 'yes' : 'no') },
  constant('databases', String(DATABASE_COUNT)),
  { name: 'enable-debug-command', get: (state) => (state.config.debugCommands ? 'yes' : 'no') },
  constant('io-threads', '1'),
  numeric('latency-monitor-threshold', 'latencyThresholdMs', 0n, INT64_MAX),
  {
    name: 'latency-tracking',
    get: ({ config }) => (config.latencyTracking ? 'yes' : 'no'),
    set: (state, argument) => state.reconfigure({ ...state.config, latencyTracking: yesOrNo(argument) === 'yes' }),
  },
  {
    name: 'latency-tracking-info-percentiles',
    get: ({ config }) => config.latencyPercentiles.map(String).join(' '),
    set: (state, argument) => state.reconfigure({ ...state.config, latencyPercentiles: percentiles(argument) }),
  },
  numeric('maxclients', 'maxClients', 1n, 4294967295n),
  fixed('maxmemory', '0'),
  {
    name: 'maxmemory-policy',
    get: (state) => state.config.maxmemoryPolicy,
    set: (state, argument) => {
      state.reconfigure({ ...state.config, maxmemoryPolicy: policy(argument) });
    },
  },
  {
    name: 'notify-keyspace-events',
    get: ({ eventFlags }) => formatEventFlags(eventFlags),
    setShared: async (state, argument) => {
      const flags = parseEventFlags(argument.toString('latin1'));
      if (flags === undefined)
        throw new RedisError(
          "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        );
      const standing = state.standingOf('redis.messaging');
      if (standing.kind !== 'active') throw new RedisError(featureText('CONFIG SET', 'redis.messaging', standing));
      await state.clusterSettings.setKeyspaceEvents(spellEventFlags(flags));
    },
  },
  { name: 'port', get: (state) => String(state.port) },
  numeric('proto-max-bulk-len', 'maxBulkBytes', 1048576n, INT64_MAX, true),
  {
    name: 'requirepass',
    get: ({ users }) => (users.defaultIdentity.user.passwordHashes.length === 0 ? '' : HIDDEN),
    setShared: ({ users }, value) =>
      users.set(
        'default',
        value.length === 0 ? ['resetpass', 'nopass'] : ['resetpass', `>${value.toString('latin1')}`],
      ),
  },
  fixed('save', ''),
  numeric('slowlog-log-slower-than', 'slowlogSlowerThanMicros', -1n, INT64_MAX),
  numeric('slowlog-max-len', 'slowlogMaxLength', 0n, INT64_MAX),
  numeric('tcp-keepalive', 'tcpKeepaliveSeconds', 0n, MAX_I32),
  numeric('timeout', 'idleTimeoutSeconds', 0n, MAX_I32),
  numeric('tracking-table-max-keys', 'trackingTableMaxKeys', 0n, INT64_MAX),
  ...THRESHOLDS,
  ...REMEMBERED,
];

/** Settings by name. */
export const SETTING_BY_NAME: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((one) => [one.name, one]));
