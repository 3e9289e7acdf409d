/**
 * The settings that CONFIG GET shows and CONFIG SET changes. What a client or a tool asks for is here, with values that
 * are true of kvorum: every write is durable before it is acknowledged, nothing is ever evicted, nothing is saved by hand.
 */
import { HIDDEN } from '../../security/index.ts';
import { wordOf } from './arguments.ts';
import type { RedisConfig } from './config.ts';
import type { Connection } from './connection.ts';
import { parseInteger } from './integers.ts';
import { DATABASE_COUNT } from './keyspace.ts';
import { RedisError } from './reply.ts';
import type { ServerState } from './server-state.ts';

export interface Setting {
  readonly name: string;
  get(state: ServerState, connection: Connection): string;
  /** Absent: the setting cannot be changed at runtime. @throws RedisError with the reason only */
  readonly set?: (state: ServerState, value: Buffer) => void;
}

const MAX_I64 = 9223372036854775807n;
const MEMORY_UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  k: 1000n,
  kb: 1024n,
  m: 1000n ** 2n,
  mb: 1024n ** 2n,
  g: 1000n ** 3n,
  gb: 1024n ** 3n,
};

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
  const match = /^([0-9]{1,18})([a-z]{0,2})$/.exec(wordOf(argument));
  const unit = match === null ? undefined : MEMORY_UNITS[match[2]!];
  if (match === null || unit === undefined) throw new RedisError('argument must be a memory value');
  return BigInt(match[1]!) * unit;
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

export const SETTINGS: readonly Setting[] = [
  fixed('appendfsync', 'always'),
  fixed('appendonly', 'yes'),
  numeric('client-query-buffer-limit', 'maxCommandBytes', 1048576n, MAX_I64, true),
  { name: 'cluster-enabled', get: (_state, connection) => (connection.isClusterMode ? 'yes' : 'no') },
  constant('databases', String(DATABASE_COUNT)),
  { name: 'enable-debug-command', get: (state) => (state.config.debugCommands ? 'yes' : 'no') },
  constant('io-threads', '1'),
  fixed('latency-tracking', 'no'),
  numeric('maxclients', 'maxClients', 1n, 4294967295n),
  fixed('maxmemory', '0'),
  fixed('maxmemory-policy', 'noeviction'),
  fixed('notify-keyspace-events', ''),
  { name: 'port', get: (state) => String(state.port) },
  numeric('proto-max-bulk-len', 'maxBulkBytes', 1048576n, MAX_I64, true),
  {
    name: 'requirepass',
    get: (state) => (state.passwords === undefined ? '' : HIDDEN),
    set: (state, value) => {
      if (state.passwords !== undefined || value.length > 0) {
        throw new RedisError('passwords come from the configuration of the node: redis.passwordFile');
      }
    },
  },
  fixed('save', ''),
  numeric('tcp-keepalive', 'tcpKeepaliveSeconds', 0n, 2147483647n),
  numeric('timeout', 'idleTimeoutSeconds', 0n, 2147483647n),
];

/** Settings by name. */
export const SETTING_BY_NAME: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((one) => [one.name, one]));
