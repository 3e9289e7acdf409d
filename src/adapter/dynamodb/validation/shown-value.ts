/** Values in complaints, as Java prints them. */
import type { Shape } from '../model/index.ts';

/** A complaint repeats what was sent, which may be as long as a request. */
const MAX_SHOWN_CHARACTERS = 2048;

/** @param value has the type of the shape */
export function shownValue(shape: Shape, value: unknown): string {
  const shown = shownOf(shape, value);
  if (shown.length <= MAX_SHOWN_CHARACTERS) return shown;
  return `${shown.slice(0, MAX_SHOWN_CHARACTERS).toWellFormed()}...`;
}

function shownOf(shape: Shape, value: unknown): string {
  switch (shape.kind) {
    case 'list':
      return `[${parts(value as readonly unknown[], (element) => shownOf(shape.element, element))}]`;
    case 'map':
      return `{${parts(Object.entries(value as object), ([name, one]) => `${name}=${shownOf(shape.value, one)}`)}}`;
    case 'structure': {
      const tree = value as Readonly<Record<string, unknown>>;
      const present = shape.members.filter(({ name }) => tree[name] !== undefined);
      const shown = parts(present, (member) => `${member.pathName}=${shownOf(member.shape, tree[member.name])}`);
      return `${shape.name}(${shown})`;
    }
    case 'attribute':
      return `AttributeValue(${JSON.stringify(value).slice(0, MAX_SHOWN_CHARACTERS)})`;
    case 'opaque':
      return '...';
    default:
      return String(value);
  }
}

/** Enough of the parts: what is too long is cut anyway. */
function parts<T>(of: readonly T[], shown: (one: T) => string): string {
  let text = '';
  for (const one of of) {
    if (text.length > MAX_SHOWN_CHARACTERS) break;
    text += (text === '' ? '' : ', ') + shown(one);
  }
  return text;
}
