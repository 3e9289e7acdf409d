/** Runs scripts; there is no way for one to leave something behind for the next. */
import type { Clock, Random } from '../../../../platform/index.ts';
import { RedisError, type Reply } from '../../protocol/index.ts';
import { LuaStatus } from '../engine/index.ts';
import { LuaCore, type LuaLimits } from './lua-core.ts';
import type { ScriptHost } from './script-host.ts';

/** A script to run. */
export interface Script {
  /** Hexadecimal SHA-1 of its text, by which its compiled form is kept. */
  readonly sha: string;
  readonly text: Buffer;
}

const SOURCE_NAME = '@user_script';
const ERROR_HANDLER = '__redis__err__handler';

export class LuaMachine extends LuaCore {
  /** References to compiled scripts by their SHA-1, those used last at the end. */
  private readonly compiled = new Map<string, number>();

  constructor(limits: LuaLimits, random: Random, clock: Clock) {
    super(limits, random, clock, (usual) => usual);
    this.api.pushReference(this.api.state, this.errorHandler);
    this.globals.set(ERROR_HANDLER);
  }

  /** Forgets compiled scripts. */
  flush(): void {
    for (const reference of this.compiled.values()) this.api.dropReference(this.api.state, reference);
    this.compiled.clear();
  }

  /** @throws RedisError with the text of the compiler when it is no Lua */
  compile(script: Script): void {
    this.pushCompiled(script);
    this.api.pop(this.api.state, 1);
  }

  /** Runs a script. @returns and throws as `run` of `LuaCore` */
  evaluate(script: Script, keys: readonly Buffer[], args: readonly Buffer[], host: ScriptHost): Reply {
    const push = (): number => {
      this.pushCompiled(script);
      this.setGlobalList('KEYS', keys);
      this.setGlobalList('ARGV', args);
      return 0;
    };
    return this.run({ name: script.sha, push }, host);
  }

  private pushCompiled(script: Script): void {
    const { api, compiled } = this;
    const { state } = api;
    const known = compiled.get(script.sha);
    if (known !== undefined) {
      compiled.delete(script.sha);
      compiled.set(script.sha, known);
      api.pushReference(state, known);
      return;
    }
    if (this.compileCode(script.text, SOURCE_NAME) !== LuaStatus.Ok) {
      const text = api.textAt(state, -1);
      api.pop(state, 1);
      throw new RedisError(`ERR Error compiling script (new function): ${text}`);
    }
    api.pushValue(state, -1);
    compiled.set(script.sha, api.reference(state));
    if (compiled.size > this.limits.maxScripts) {
      const [oldest, reference] = compiled.entries().next().value!;
      api.dropReference(state, reference);
      compiled.delete(oldest);
    }
  }

  private setGlobalList(name: string, items: readonly Buffer[]): void {
    this.api.pushList(this.api.state, items);
    this.globals.set(name);
  }
}
