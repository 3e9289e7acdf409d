/**
 * What a process of `npm test` runs: test files, each a suite of its own, so that its hooks are its own as well. `test/main.ts` writes the modules that
 * call it.
 *
 * Node's runner follows every promise of a process with a hook (`async_hooks`), by which it knows the suite that a test is declared in, and the test that
 * an error belongs to which nobody has caught. It remembers each promise until that is collected, so promises cost many times as much, and the more of
 * them lie around the more. Tests are declared while their files are loaded. With the first suite the hook is taken away: an error that nobody
 * catches fails the file as before, and what ran is named beside it.
 */
import assert from 'node:assert/strict';
import { type AsyncHook, createHook } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, describe } from 'node:test';

/** Of the kernel's accounts of processes. */
const TICKS_A_SECOND = 100;
/** Less is not worth a line. */
const MIN_REPORTED_SECONDS = 1;

/** Processor time of this process and of those that it has started and that have ended, in seconds; its own alone where the kernel does not say. */
function processorSeconds(): number {
  try {
    const [, , , , , , , , , , , user, system, usersOfEnded, systemOfEnded] = readFileSync('/proc/self/stat', 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return [user, system, usersOfEnded, systemOfEnded].reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_A_SECOND;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }
}

/** The hook with which the runner follows promises. To be called before the first suite of this process is declared. */
function hookOfRunner(): AsyncHook {
  const hooks = Object.getPrototypeOf(createHook({})) as AsyncHook;
  const { enable } = hooks;
  let found: AsyncHook | undefined;
  hooks.enable = function (this: AsyncHook): AsyncHook {
    found = this;
    return enable.call(this);
  };
  // The first call into the runner sets it up, hook and all.
  before(() => {});
  hooks.enable = enable;
  assert.ok(found !== undefined, "Node's runner has no such hook any more: nothing is to be taken away");
  return found;
}

/** Names the test that runs beside an error that nobody has caught. */
function nameWhatRan(): void {
  let running = 'none';
  beforeEach((context) => {
    running = context.fullName;
  });
  const name = (): void => console.error(`An error that nobody has caught, while this test ran: ${running}`);
  process.on('uncaughtException', name);
  process.on('unhandledRejection', name);
}

/** Runs test files in this process. @param files their URLs, by the names of their suites */
export function runFiles(files: Readonly<Record<string, string>>): void {
  const hook = hookOfRunner();
  nameWhatRan();
  let loading = Object.keys(files).length;
  for (const [name, url] of Object.entries(files)) {
    describe(name, async () => {
      let since = 0;
      before(() => {
        assert.equal(loading, 0, 'a suite begins before all of them are declared');
        hook.disable();
        since = processorSeconds();
      });
      after((suite) => {
        const seconds = processorSeconds() - since;
        if (seconds >= MIN_REPORTED_SECONDS) suite.diagnostic(`${seconds.toFixed(1)} s of processor time`);
      });
      await import(url).finally(() => loading--);
    });
  }
}
