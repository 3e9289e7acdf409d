/** Scripts: what their first line says, which this node knows, and running them with the commands that they call. */
export { ScriptRuntime, type ScriptRuntimeOptions } from './script-runtime.ts';
