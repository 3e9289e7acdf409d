import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LuaApi, LuaStatus, pushLibrary } from '../../../../src/adapter/redis/lua/engine/index.ts';
import { stringSearch } from '../../../../src/adapter/redis/lua/machine/string-search.ts';

/** Calls both, and says what each has answered. */
const COMPARE = `local function show(...)
  local shown = {}
  for at = 1, select('#', ...) do
    local value = select(at, ...)
    shown[at] = type(value) .. ':' .. tostring(value)
  end
  return table.concat(shown, '|')
end
local function all(find, text, pattern)
  local shown = {}
  for a, b, c in find(text, pattern) do
    table.insert(shown, show(a, b, c))
    if #shown > 50 then break end
  end
  return table.concat(shown, ';')
end
local replacements = { 'x', '<%0>', '%1%2', '%%', '%a', 7, function(a, b) return a and #tostring(a) % 2 == 0 and a or nil end,
  { a = 'A', b = true, [1] = 'one', [''] = 'E' }, { a = {} }, function() return {} end, 'of %1 or %0, %%.' }
return function(text, pattern, place, which)
  local results = {}
  for _, library in ipairs({ string, search }) do
    table.insert(results, show(pcall(library.find, text, pattern, place)) .. '\\n' .. show(pcall(library.match, text, pattern, place)) .. '\\n'
      .. show(pcall(library.find, text, pattern, place, true)) .. '\\n' .. show(pcall(all, library.gmatch, text, pattern)) .. '\\n'
      .. show(pcall(library.gsub, text, pattern, replacements[which])) .. '\\n'
      .. show(pcall(library.gsub, text, pattern, replacements[which], place)))
  end
  return unpack(results)
end`;

function openBoth(onSteps: (instructions: number) => void = () => undefined): {
  readonly compare: (text: Buffer, pattern: Buffer, place: number, which: number) => [string, string];
  readonly call: (source: string) => string;
} {
  const api = new LuaApi(64 * 1024 ** 2);
  const { state } = api;
  api.openLibraries();
  pushLibrary(
    api,
    state,
    stringSearch(api, (_, instructions) => onSteps(instructions)),
  );
  api.setField(state, -10_002, 'search');
  const run = (source: string, results: number): void => {
    assert.equal(api.load(state, Buffer.from(source), '=test'), LuaStatus.Ok, api.textAt(state, -1));
    assert.equal(api.protectedCall(state, 0, results, 0), LuaStatus.Ok, api.textAt(state, -1));
  };
  run(COMPARE, 1);
  const compare = api.reference(state);
  return {
    compare: (text, pattern, place, which) => {
      api.pushReference(state, compare);
      api.pushBytes(state, text);
      api.pushBytes(state, pattern);
      api.pushNumber(state, place);
      api.pushNumber(state, which);
      assert.equal(api.protectedCall(state, 4, 2, 0), LuaStatus.Ok, api.textAt(state, -1));
      const both: [string, string] = [api.textAt(state, -2), api.textAt(state, -1)];
      api.pop(state, 2);
      return both;
    },
    call: (source) => {
      run(source, 1);
      const text = api.textAt(state, -1);
      api.pop(state, 1);
      return text;
    },
  };
}

/** Tables and functions have other addresses each time. */
const comparable = (text: string): string => text.replaceAll(/(table|function): 0x[0-9a-f]+/g, '$1');

describe('searches of patterns', () => {
  test('answer as those of Lua', () => {
    const { compare } = openBoth();
    const piece = fc.constantFrom(
      ...[
        'a',
        'b',
        '.',
        '%a',
        '%d',
        '%s',
        '%w',
        '%W',
        '%p',
        '%z',
        '%x',
        '%%',
        '%.',
        '[ab]',
        '[^a]',
        '[a-c1-3]',
        '[%a_]',
        '[]]',
        '[^]b]',
        '[a-]',
      ],
      ...[
        '*',
        '+',
        '-',
        '?',
        '(',
        ')',
        '()',
        '^',
        '$',
        '%1',
        '%2',
        '%bab',
        '%b',
        '%f[a]',
        '%f',
        '[',
        ']',
        '%',
        '\0',
        '1',
        ' ',
      ],
    );
    const pattern = fc.oneof(
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
      fc.tuple(piece, piece, piece).map(([a, b, c]) => `(${a}${b})${c}%1`),
    );
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' ', '_', '\0', '.', '\xe4'), maxLength: 12 }),
      fc.constantFrom('', 'THE (quick) fox', 'a=1, b=22', 'abab(ba)'),
    );
    fc.assert(
      fc.property(
        text,
        pattern,
        fc.integer({ min: -4, max: 14 }),
        fc.integer({ min: 1, max: 11 }),
        (subject, searched, place, which) => {
          const [own, ours] = compare(Buffer.from(subject, 'latin1'), Buffer.from(searched, 'latin1'), place, which);
          assert.equal(comparable(ours), comparable(own));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('count what they do, and can be ended', () => {
    let done = 0;
    const most = 1_000_000;
    const { call } = openBoth((instructions) => {
      done += instructions;
      if (done > most) throw new Error('too long');
    });
    assert.throws(() => call("return search.find(('a'):rep(40), ('a-'):rep(12) .. 'b')"), /too long/);
    assert.ok(done < 2 * most);
  });

  test('go through a long text once', () => {
    let done = 0;
    const { call } = openBoth((instructions) => {
      done += instructions;
    });
    const counted =
      "local n = 0; for word in search.gmatch(('word '):rep(20000), '%a+') do n = n + #word end; return tostring(n)";
    assert.equal(call(counted), '80000');
    assert.ok(done < 10_000_000);
    const nested = `local n = 0
for a in search.gmatch('abcdefgh', '.') do for b in search.gmatch('abcdefgh', '.') do for c in search.gmatch('abcd', '.') do
  for d in search.gmatch('abcd', '.') do for e in search.gmatch('xyz', '.') do n = n + 1 end end end end end
return tostring(n)`;
    assert.equal(call(nested), String(8 * 8 * 4 * 4 * 3));
  });
});
