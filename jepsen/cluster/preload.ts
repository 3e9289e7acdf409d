/**
 * Loaded into a node process under test before its own code (`node --import`), so that kvorum itself carries no switch
 * that breaks it. Three faults: the wall clock is shifted by what a control file says, writes to the data folder fail
 * as a full or failing disk would, and a mutant rewrites named source text as modules load.
 */
import fs from 'node:fs';
import { registerHooks, syncBuiltinESMExports } from 'node:module';
import type { Mutation } from '../mutants/types.ts';

interface Control {
  readonly clockOffsetMs: number;
  readonly diskFault: 'full' | 'syncError' | null;
}

const controlPath = process.env.KVORUM_FAULT_CONTROL;
let control: Control = { clockOffsetMs: 0, diskFault: null };

function readControl(): void {
  try {
    control = JSON.parse(fs.readFileSync(controlPath!, 'utf8')) as Control;
  } catch {
    // The harness replaces the file by rename; a missing one means that nothing is broken yet.
  }
}

function shiftWallClock(): void {
  const realNow = Date.now;
  Date.now = () => realNow() + control.clockOffsetMs;
}

type Callback = (error: NodeJS.ErrnoException | null, ...rest: unknown[]) => void;

function diskError(operation: string): NodeJS.ErrnoException {
  const [code, text] = control.diskFault === 'full' ? ['ENOSPC', 'no space left on device'] : ['EIO', 'i/o error'];
  return Object.assign(new Error(`${code}: ${text}, ${operation}`), { code, syscall: operation });
}

/** Fails writes (full) or writes and syncs (syncError) of files that node:fs opened; LevelDB's own files are not touched. */
function breakDisk(): void {
  const writable = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of ['write', 'writev', 'fdatasync', 'fsync', 'ftruncate'] as const) {
    const original = writable[name]!;
    writable[name] = (...args: unknown[]) => {
      const [fd] = args;
      const isDataFile = typeof fd === 'number' && fd > 2;
      const breaks = control.diskFault === 'syncError' || (control.diskFault === 'full' && name.startsWith('write'));
      const callback = args.at(-1);
      if (isDataFile && breaks && typeof callback === 'function') {
        process.nextTick(callback as Callback, diskError(name));
        return undefined;
      }
      return original.apply(fs, args);
    };
  }
  // Modules that import the names of node:fs see the replacements too.
  syncBuiltinESMExports();
}

function mutateSources(mutations: readonly Mutation[]): void {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const mine = mutations.filter(({ file }) => url.endsWith(`/${file}`));
      if (mine.length === 0 || loaded.source === undefined || loaded.source === null) return loaded;
      let source = loaded.source.toString();
      for (const { file, find, replace } of mine) {
        const parts = source.split(find);
        if (parts.length !== 2) throw new Error(`mutant does not fit ${file}: ${find}`);
        source = parts.join(replace);
      }
      return { ...loaded, source };
    },
  });
}

if (process.env.KVORUM_MUTATIONS !== undefined) mutateSources(JSON.parse(process.env.KVORUM_MUTATIONS) as Mutation[]);
if (controlPath !== undefined) {
  readControl();
  fs.watchFile(controlPath, { interval: 50, persistent: false }, readControl);
  shiftWallClock();
  breakDisk();
}
