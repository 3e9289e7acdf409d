/**
 * Runs the scripts of a node, on one Lua machine: scripts never interleave. A machine that a script has used up is thrown away and another one takes its
 * place. Which scripts a node knows says nothing about others; a script's text travels with the command that runs it.
 */
import type { CalledScript, CommandContext, ScriptCall, ScriptFigures, ScriptRunner } from '../command/index.ts';
import { LuaMachine } from '../lua/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import { LibraryRuntime } from './library-runtime.ts';
import { ScriptCommands } from './script-commands.ts';
import type { ScriptRuntimeOptions } from './script-runtime-options.ts';
import { ScriptTexts } from './script-texts.ts';
import { readShebang } from './shebang.ts';

export class ScriptRuntime implements ScriptRunner<CommandContext> {
  private readonly options: ScriptRuntimeOptions;
  private readonly texts = new ScriptTexts();
  readonly libraries: LibraryRuntime;
  private machine: LuaMachine | undefined;

  constructor(options: ScriptRuntimeOptions) {
    this.options = options;
    this.libraries = new LibraryRuntime(options);
  }

  run(ctx: CommandContext, script: CalledScript, { keys, args, isReadOnly }: ScriptCall): Reply {
    const header = readShebang(script.text);
    if (isReadOnly && header.isDeclared && !header.isReadOnly) {
      throw new RedisError('ERR Can not execute a script with write flag using *_ro command.');
    }
    const commands = new ScriptCommands(ctx, this.options.table, isReadOnly || header.isReadOnly);
    const reply = this.usable().evaluate({ sha: script.sha, text: header.body }, keys, args, commands);
    this.texts.keep(script.sha, script.text);
    return reply;
  }

  check(script: CalledScript): void {
    this.usable().compile({ sha: script.sha, text: readShebang(script.text).body });
  }

  shaOf(text: Buffer): string {
    return this.texts.shaOf(text);
  }

  find(sha: string): Buffer | undefined {
    return this.texts.find(sha);
  }

  keep({ sha, text }: CalledScript): void {
    this.texts.keep(sha, text);
  }

  figures(): ScriptFigures {
    return {
      scripts: this.texts.count,
      scriptBytes: this.texts.bytes,
      scriptMachineBytes: this.machine?.heldBytes ?? 0,
      ...this.libraries.figures(),
    };
  }

  forget(): void {
    this.texts.clear();
    this.machine?.flush();
  }

  /** The machine; it is made when the first script comes. */
  private usable(): LuaMachine {
    if (this.machine === undefined || this.machine.isBroken) {
      this.machine = new LuaMachine(this.options.limits, this.options.random, this.options.clock);
    }
    return this.machine;
  }
}
