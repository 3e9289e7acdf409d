/** Lua for scripts: a Lua 5.1 interpreter, the libraries that Redis gives its scripts, and the machines that run them within limits. */
export {
  DEFAULT_LUA_LIMITS,
  FUNCTION_FLAGS,
  type FunctionDeclaration,
  type FunctionFlag,
  FunctionMachine,
  isFunctionName,
  type LoadedFunction,
  type LuaLimits,
  LuaMachine,
  NAME_RULE,
  type Script,
  type ScriptHost,
  type ScriptLogLevel,
  ScriptTooLongError,
} from './machine/index.ts';
