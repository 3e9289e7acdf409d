import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { Machines, type Place, skipWithoutNamespaces } from './machines.ts';
import { readUnit, Service } from './unit.ts';

const PAGE = new URL('../../docs/deployment.md', import.meta.url);
const UNIT = new URL('../../deploy/systemd/kvorum.service', import.meta.url);

/** What every run of the tests does; the rest takes its time, most of it in waiting. */
const SHORT: readonly string[] = ['Three machines'];
const isWhole = process.env.WALK_THROUGH === 'whole';

interface Step {
  readonly where: string;
  readonly command: string;
  /** What the page shows below it. */
  readonly shown: readonly string[];
}

/** The sections of the page with their commands, in order. */
function sections(): Map<string, Step[]> {
  const found = new Map<string, Step[]>();
  let title = '';
  const parts = /^##+ (.*)$|<!-- walk-through: ([^>]*) -->\n```\n([^`]*)```/gm;
  for (const [, heading, where, block] of readFileSync(PAGE, 'utf8').matchAll(parts)) {
    if (heading !== undefined) title = heading;
    if (block === undefined) continue;
    const steps = block.split(/^\$ /m).slice(1);
    const read = steps.map((text): Step => {
      const [command, ...shown] = text.trimEnd().split('\n') as [string, ...string[]];
      return { where: where!, command, shown };
    });
    found.set(title, [...(found.get(title) ?? []), ...read]);
  }
  return found;
}

/** The page shows how the output ends; `...` stands for what differs from time to time. */
function assertShown(shown: readonly string[], output: string): void {
  const lines = output.trimEnd().split('\n').slice(-shown.length);
  const fits = shown.every((line, at) => {
    const [start, end] = line.split('...') as [string, string | undefined];
    return end === undefined ? lines[at] === line : lines[at]?.startsWith(start) && lines[at].endsWith(end);
  });
  assert.ok(fits, `the page shows\n${shown.join('\n')}\nand it was\n${output}`);
}

const skip = skipWithout('bash') || skipWithout('curl') || skipWithout('redis-cli') || skipWithoutNamespaces();

describe('the walk-through of docs/deployment.md, word for word', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-walk-'));
  const transcript: string[] = [];
  let machines: Machines;
  let services: ReadonlyMap<number, Service>;

  before(() => {
    machines = new Machines(folder, [1, 2, 3]);
    const unit = readUnit(UNIT);
    services = new Map(machines.numbers.map((number) => [number, new Service(machines, number, unit)]));
  });
  after(async () => {
    for (const service of services.values()) service.kill();
    machines.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function runAt(place: Place, { command, shown }: Step): Promise<void> {
    const startedMs = performance.now();
    const verb = /^systemctl (.*) kvorum$/.exec(command)?.[1];
    transcript.push(`${place} $ ${command}`);
    if (verb !== undefined) {
      await services.get(place as number)!.control(verb);
      return;
    }
    const { code, output } = await machines.type(place, command);
    transcript.push(`${output}(${Math.round(performance.now() - startedMs)} ms)`);
    // A command that is shown with an error is meant to fail.
    if (!shown.some((line) => line.startsWith('(error)'))) assert.equal(code, 0, output);
    assertShown(shown, output);
  }

  function placesOf(where: string): readonly Place[] {
    if (where === 'here') return ['here'];
    if (where === 'on each machine') return machines.numbers;
    return [Number(/^on machine (\d)$/.exec(where)![1])];
  }

  /** Steps that stand together are done on one machine after the other. */
  async function runTogether(steps: readonly Step[]): Promise<void> {
    for (const place of placesOf(steps[0]!.where)) for (const step of steps) await runAt(place, step);
  }

  let hasFailed = false;
  for (const [title, steps] of sections()) {
    const skipped = isWhole || SHORT.includes(title) ? false : 'this section is walked by npm run check:deployment';
    test(title, { skip: skipped }, async () => {
      assert.ok(!hasFailed, 'a section before it failed');
      try {
        for (let at = 0; at < steps.length; ) {
          const rest = steps.slice(at);
          const end = rest.findIndex(({ where }) => where !== rest[0]!.where);
          const together = end === -1 ? rest : rest.slice(0, end);
          await runTogether(together);
          at += together.length;
        }
      } catch (error) {
        hasFailed = true;
        const logs = [...services].map(([number, { log }]) => `machine ${number}:\n${log}`);
        throw new Error([...transcript, ...logs].join('\n'), { cause: error });
      }
      if (process.env.RUNBOOK_TRACE !== undefined) console.log(transcript.splice(0).join('\n'));
    });
  }
});
