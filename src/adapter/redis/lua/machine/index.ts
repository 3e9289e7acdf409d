/** Runs scripts and functions of libraries, one after the other. */
export {
  FUNCTION_FLAGS,
  type FunctionDeclaration,
  type FunctionFlag,
  FunctionMachine,
  isFunctionName,
  type LoadedFunction,
  NAME_RULE,
} from './function-machine.ts';
export { DEFAULT_LUA_LIMITS, type LuaLimits } from './lua-core.ts';
export { LuaMachine, type Script } from './lua-machine.ts';
export type { ScriptHost, ScriptLogLevel } from './script-host.ts';
export { ScriptTooLongError } from './script-run.ts';
