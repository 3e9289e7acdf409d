/**
 * A key that is deleted and written again in one turn, while its range is being copied: an entry says one thing of a key, so what
 * was captured is the version that the key has, once.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { CapturePage, CapturePoint, SpanRequest } from '../../src/kv/contract/range-transfer.ts';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { NEVER } from '../../src/platform/index.ts';
import { bytes, LoneGroup } from '../support/lone-group.ts';

describe('what is captured of a key that is rewritten in one entry', () => {
  test('is its version, whatever commands made it', async () => {
    const command = fc.record({ key: fc.constantFrom('f', 'g'), isDelete: fc.boolean() });
    // Commands of one turn share an entry.
    const turns = fc.array(fc.array(command, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(turns, fc.integer({ min: 1, max: 60 }), async (commandsOfTurns, maxBytes) => {
        const bed = new LoneGroup();
        const captureOn: SpanRequest = { kind: 'captureOn', job: 1, start: bytes('f'), end: bytes('h') };
        await bed.answered(bed.executor.spans.command(captureOn));
        let serial = 0;
        for (const commands of commandsOfTurns) {
          for (const { key, isDelete } of commands) {
            const value = bytes(`${serial++}`);
            bed.run((view) => (isDelete ? view.delete(bytes(key)) : view.put(bytes(key), value, NEVER)));
          }
          bed.settle();
        }
        const rewritten = bed.raft.log.map(decodeEntry).flatMap((entry) => {
          if (entry.opcode !== 'batch') return [];
          const keys = entry.mutations.map(({ key }) => key.toString());
          return new Set(keys).size === keys.length ? [] : [keys];
        });
        assert.deepEqual(rewritten, [], 'an entry writes a key once');
        const captured: string[] = [];
        let point: CapturePoint = { index: 0, position: 0 };
        for (let isEnd = false; !isEnd; ) {
          const page: CapturePage = await bed.answered(bed.executor.spans.captured(1, point, maxBytes));
          for (const { key, commitTs, value } of page.versions) captured.push(`${key} ${commitTs} ${value ?? 'gone'}`);
          point = page.next;
          isEnd = page.isEnd;
        }
        const { versions } = await bed.store.exportVersions({
          start: bytes('f'),
          end: bytes('h'),
          after: undefined,
          maxBytes: 1e6,
        });
        const kept = versions.map(({ key, commitTs, value }) => `${key} ${commitTs} ${value ?? 'gone'}`);
        assert.deepEqual([...captured].sort(), kept.sort());
      }),
      { numRuns: 200 },
    );
  });
});
