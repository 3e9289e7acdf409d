/** Scripts: what their first line says, which this node knows, and running them with the commands that they call. */
export { ScriptRuntime } from './script-runtime.ts';
