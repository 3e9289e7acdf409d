/** Runs scripts, one after the other. */
export {
  DEFAULT_LUA_LIMITS,
  type LuaLimits,
  LuaMachine,
  type Script,
  ScriptTooLongError,
} from './lua-machine.ts';
export type { ScriptHost, ScriptLogLevel } from './script-host.ts';
