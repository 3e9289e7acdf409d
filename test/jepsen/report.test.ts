import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { faultWindows, latencySvg, reportHtml, throughputSvg, timelineHtml } from '../../jepsen/report.ts';
import { runOptions, tormentedHistory } from './histories.ts';

/** Checks that every element is closed by its own name, as XML wants it. @throws AssertionError */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  for (const [tag, closing, name, selfClosing] of xml.matchAll(
    /<(\/?)([a-zA-Z]\w*)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g,
  )) {
    if (selfClosing !== '') continue;
    if (closing === '') open.push(name!);
    else assert.equal(open.pop(), name, tag);
  }
  assert.deepEqual(open, []);
  assert.equal(xml.match(/</g)!.length, xml.match(/<\/?[a-zA-Z]\w*(?:\s+[\w:-]+="[^"<]*")*\s*\/?>/g)!.length);
}

describe('the report of a run', () => {
  const history = tormentedHistory();

  test('finds the stretches of all faults, overlapping and unhealed ones too', () => {
    assert.deepEqual(
      faultWindows(history).map(({ name, fromS, toS }) => [name, fromS, toS]),
      [
        ['network-slow', 1, 2.001],
        ['kill-leader', 1.5, 2.2],
        ['pause-leader', 3, 4],
      ],
    );
  });

  for (const [name, picture] of [
    ['latency', latencySvg(history)],
    ['throughput', throughputSvg(history)],
  ] as const) {
    test(`draws ${name} as valid SVG with every fault shaded and named`, () => {
      assertWellFormed(picture);
      assert.equal(picture.match(/<rect class="fault-window"/g)!.length, 3);
      for (const fault of ['network-slow', 'kill-leader', 'pause-leader'])
        assert.ok(picture.includes(`>${fault}</text>`));
    });
  }

  test('draws a dot for each operation that ended and none for open ones', () => {
    assert.equal(latencySvg(history).match(/<circle/g)!.length, 3);
  });

  test('draws an empty run', () => {
    assertWellFormed(latencySvg([]));
    assertWellFormed(throughputSvg([]));
  });

  test('names the verdict, the problems and the faults, and needs nothing from outside', () => {
    const result = { valid: false, problems: ['a <lost> write'], facts: { lost: 1 } } as const;
    const page = reportHtml(runOptions('runs'), 'run-1', history, result);
    assert.ok(page.includes('INVALID'));
    assert.ok(page.includes('a &lt;lost&gt; write'));
    assert.ok(page.includes('{&quot;killed&quot;:[2]}'));
    assert.doesNotMatch(page, /(src|href)="(https?:)?\/\//);
  });

  test('escapes what servers said', () => {
    assert.ok(timelineHtml(history, 'run-1', 2).includes('a &quot;bad&quot; &lt;node&gt;'));
  });
});
