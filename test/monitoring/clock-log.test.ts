import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ClockLog, clockRemark } from '../../src/node/log-redaction.ts';
import { ManualClock } from '../support/manual-time.ts';

const NOW_MS = 1_700_000_000_000;

describe('the log of a clock', () => {
  const bed = () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const add =
      (level: string) =>
      (fields: object, message: string): void => {
        lines.push(`${level} ${JSON.stringify(fields)} ${message}`);
      };
    const log = new ClockLog({ info: add('info'), warn: add('warn') }, clock);
    const peer = { nodeId: 2, offsetMs: 0, errorMs: 0, isOff: false } as never;
    return {
      clock,
      lines,
      off: (offsetMs: number) => log.changed({ offsetMs, errorMs: 2, isOff: true, peers: [peer] }),
      right: () => log.changed({ offsetMs: 3, errorMs: 2, isOff: false, peers: [peer] }),
      alone: () => log.changed({ offsetMs: 60_000, errorMs: 0, isOff: true, peers: [] }),
    };
  };

  test('says that it is off, by how much, and that it is right again', () => {
    const { lines, off, right } = bed();
    off(-7_200_000);
    right();
    assert.match(lines[0]!, /^warn .*the clock of this node is 2 h behind, within 2 ms of the others.*NTP$/);
    assert.match(lines[1]!, /^info .*right again$/);
    assert.equal(lines.length, 2);
  });

  test('says so once a minute when it goes to and fro, and how often it did', () => {
    const { clock, lines, off, right } = bed();
    for (let time = 0; time < 100; time++) {
      off(600);
      clock.advance(500);
      right();
      clock.advance(500);
    }
    assert.equal(lines.length, 4, lines.join('\n'));
    assert.match(lines[2]!, /"repeated":59/);
  });

  test('speaks of what it was where there are no others', () => {
    const { lines, alone } = bed();
    alone();
    assert.match(lines[0]!, /1 min ahead of what it was/);
  });
});

describe('what is odd about a clock at a start', () => {
  test('is nothing for a new node, and for one that ran a moment ago', () => {
    for (const newestMs of [0, NOW_MS - 60_000, NOW_MS + 1_400]) assert.equal(clockRemark(newestMs, NOW_MS), undefined);
  });

  test('is a clock behind the data, and data that is long ago', () => {
    assert.match(clockRemark(NOW_MS + 86_400_000, NOW_MS)!, /1 d behind the newest data/);
    assert.match(clockRemark(NOW_MS - 10 * 86_400_000, NOW_MS)!, /10 d old .* the clock is ahead$/);
  });
});
