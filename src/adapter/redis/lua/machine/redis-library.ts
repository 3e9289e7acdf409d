/** The library `redis` of scripts. */
import { createHash } from 'node:crypto';
import { doubleText, RedisError, SERVER_VERSION } from '../../protocol/index.ts';
import { type Library, type LuaApi, LuaType } from '../engine/index.ts';
import { LOG_LEVELS } from './script-host.ts';
import type { ScriptRun } from './script-run.ts';
import type { Spend } from './spending.ts';
import { pushError, pushField, pushReply } from './values.ts';

const WRONG_ARGUMENTS = 'ERR wrong number or type of arguments';

/** What a call costs in instructions, by the time that it takes, and one that fails. */
const CALL_INSTRUCTIONS = 300;
const FAILURE_INSTRUCTIONS = 3_000;
const HASH_INSTRUCTIONS_A_BYTE = 0.6;

/** `redis.*` for the run that `current` answers. */
export function redisLibrary(api: LuaApi, current: () => ScriptRun, spend: Spend): Library {
  const fail = (state: number, text: string): never => {
    pushError(api, state, text);
    return api.raise(state);
  };
  return {
    call: (state) => call(api, state, current(), spend, false),
    pcall: (state) => call(api, state, current(), spend, true),
    error_reply: (state) => {
      const text = api.top(state) === 1 ? onlyText(api, state) : undefined;
      pushField(api, state, 'err', text === undefined ? WRONG_ARGUMENTS : withCode(text));
      return 1;
    },
    status_reply: (state) => {
      const text = api.top(state) === 1 ? onlyText(api, state) : undefined;
      if (text === undefined) pushField(api, state, 'err', WRONG_ARGUMENTS);
      else pushField(api, state, 'ok', text);
      return 1;
    },
    sha1hex: (state) => {
      if (api.top(state) !== 1) return fail(state, 'ERR wrong number of arguments');
      const bytes = api.toBytes(state, 1) ?? Buffer.alloc(0);
      spend(state, bytes.length * HASH_INSTRUCTIONS_A_BYTE);
      api.pushText(state, createHash('sha1').update(bytes).digest('hex'));
      return 1;
    },
    setresp: (state) => {
      if (api.top(state) !== 1) return fail(state, 'ERR redis.setresp() requires one argument.');
      const version = api.toNumber(state, 1);
      if (version !== 2 && version !== 3) return fail(state, 'ERR RESP version must be 2 or 3.');
      current().resp = version;
      return 0;
    },
    log: (state) => {
      const count = api.top(state);
      if (count < 2) return fail(state, 'ERR redis.log() requires two arguments or more.');
      if (!api.isNumber(state, 1)) return fail(state, 'ERR First argument must be a number (log level).');
      const level = LOG_LEVELS[Math.trunc(api.toNumber(state, 1))];
      if (level === undefined) return fail(state, 'ERR Invalid debug level.');
      const words: string[] = [];
      for (let index = 2; index <= count; index++) words.push(api.toBytes(state, index)?.toString('utf8') ?? '');
      current().host.log(level, words.join(' '));
      return 0;
    },
    acl_check_cmd: (state) => {
      const args = argumentsOf(api, state);
      if (args === undefined) return fail(state, argumentsError(api, state));
      try {
        api.pushBoolean(state, current().host.mayCall(args));
        return 1;
      } catch (error) {
        if (!(error instanceof RedisError)) throw error;
        return fail(state, error.message);
      }
    },
    // Effects are replicated whatever a script says, so these only check what they are given.
    set_repl: (state) => {
      if (api.top(state) !== 1) return fail(state, 'ERR redis.set_repl() requires two arguments.');
      const flags = api.toNumber(state, 1);
      if ((flags & ~REPLICATE_ALL) !== 0) {
        return fail(state, 'ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.');
      }
      return 0;
    },
    replicate_commands: (state) => {
      api.pushBoolean(state, true);
      return 1;
    },
    // Nobody debugs a script here.
    breakpoint: (state) => {
      api.pushBoolean(state, false);
      return 1;
    },
    debug: () => 0,
    LOG_DEBUG: 0,
    LOG_VERBOSE: 1,
    LOG_NOTICE: 2,
    LOG_WARNING: 3,
    REPL_NONE: 0,
    REPL_AOF: 1,
    REPL_SLAVE: 2,
    REPL_REPLICA: 2,
    REPL_ALL: REPLICATE_ALL,
    REDIS_VERSION: SERVER_VERSION,
    REDIS_VERSION_NUM: versionNumber(SERVER_VERSION),
  };
}

const REPLICATE_ALL = 3;

/** A version as one number, a byte a part. */
const versionNumber = (version: string): number =>
  version.split('.').reduce((number, part) => number * 256 + Number(part), 0);

function call(api: LuaApi, state: number, run: ScriptRun, spend: Spend, isProtected: boolean): number {
  run.called();
  spend(state, CALL_INSTRUCTIONS);
  const args = argumentsOf(api, state);
  let error: string;
  if (args === undefined) {
    error = argumentsError(api, state);
  } else {
    try {
      pushReply(api, state, run.host.call(args, run.resp), run.resp);
      return 1;
    } catch (thrown) {
      // Lua's own unwinding is a number.
      if (typeof thrown === 'number') throw thrown;
      if (!(thrown instanceof RedisError)) return api.raiseText(state, run.abort(thrown));
      error = thrown.message;
    }
  }
  spend(state, FAILURE_INSTRUCTIONS);
  pushError(api, state, error);
  return isProtected ? 1 : api.raise(state);
}

/** The arguments as bytes; undefined when there is none, or one that is neither a string nor a number. */
function argumentsOf(api: LuaApi, state: number): Buffer[] | undefined {
  const count = api.top(state);
  if (count === 0) return undefined;
  const args: Buffer[] = [];
  for (let index = 1; index <= count; index++) {
    const type = api.type(state, index);
    if (type === LuaType.Number) args.push(Buffer.from(doubleText(api.toNumber(state, index)), 'latin1'));
    else if (type === LuaType.String) args.push(api.toBytes(state, index)!);
    else return undefined;
  }
  return args;
}

const argumentsError = (api: LuaApi, state: number): string =>
  api.top(state) === 0
    ? 'ERR Please specify at least one argument for this redis lib call'
    : 'ERR Lua redis lib command arguments must be strings or integers';

const onlyText = (api: LuaApi, state: number): string | undefined =>
  api.type(state, 1) === LuaType.String ? api.toBytes(state, 1)!.toString('utf8') : undefined;

/** An error's text with a code in front, `ERR` when it has a single word. */
function withCode(text: string): string {
  const bare = text.startsWith('-') ? text.slice(1) : text;
  return bare.includes(' ') ? bare : `ERR ${bare}`;
}
