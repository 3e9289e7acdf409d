/** Lua for scripts: a Lua 5.1 interpreter, the libraries that Redis gives its scripts, and the machine that runs them within limits. */
export {
  DEFAULT_LUA_LIMITS,
  type LuaLimits,
  LuaMachine,
  type Script,
  type ScriptHost,
  type ScriptLogLevel,
  ScriptTooLongError,
} from './machine/index.ts';
