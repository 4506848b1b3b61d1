// Pixel portraits with captions that say what is on them: node portraits.mjs NODE_MODULES COUNT, a JSON line each.
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [modules, count] = [process.argv[2], Number(process.argv[3])];
const load = (name) => import(pathToFileURL(join(modules, name, 'lib', 'index.js')));
const { createAvatar } = await load('@dicebear/core');
const style = await load('@dicebear/pixel-art');

const HAIR = {
  black: ['1a1a1a', '28150a'], brown: ['603015', '83623b'], blond: ['cab188', 'e0c068'], red: ['a83a1e', 'c0501f'],
  gray: ['9a9a9a'], pink: ['e06090'], blue: ['3a6fd0'], green: ['3a9a50'], purple: ['7a3aa0'],
};
const CLOTHES = {
  blue: ['428bca', '03396c'], green: ['44c585', '00b159'], red: ['d11141', 'ae0001'], yellow: ['ffd969', 'ffc425'],
  pink: ['ff8fb0'], black: ['2a2a2a'],
};
const GROUND = { white: 'ffffff', yellow: 'ffe08a', blue: 'a8d8ff', green: 'b5e8b0', pink: 'ffc8dd', gray: 'd0d0d0' };
let state = 20261125;
const draw = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * n); };
const pick = (list) => list[draw(list.length)];

for (let i = 0; i < count; i++) {
  const long = draw(2) === 1, hair = pick(Object.keys(HAIR)), clothes = pick(Object.keys(CLOTHES));
  const ground = draw(2) ? 'white' : pick(Object.keys(GROUND));
  const glasses = draw(4) === 0, beard = !long && draw(3) === 0, hat = draw(8) === 0;
  const avatar = createAvatar(style, {
    seed: String(i), size: 16,
    hair: [`${long ? 'long' : 'short'}${String(1 + draw(long ? 21 : 24)).padStart(2, '0')}`],
    hairColor: [pick(HAIR[hair])], clothingColor: [pick(CLOTHES[clothes])], backgroundColor: [GROUND[ground]],
    glasses: [`dark0${1 + draw(7)}`], glassesProbability: glasses ? 100 : 0, beardProbability: beard ? 100 : 0,
    hatProbability: hat ? 100 : 0, accessoriesProbability: 0,
  });
  const who = beard ? 'man' : long ? 'woman' : 'person';
  const wears = [beard && 'a beard', glasses && 'glasses', hat && 'a hat'].filter(Boolean);
  const looks = hat ? [`a ${clothes} shirt`] : [`${hair} hair`];
  const caption = `pixel portrait of a ${who} with ${[...looks, ...wears].join(' and ')}` +
    (ground === 'white' ? '' : `, ${ground} background`);
  console.log(JSON.stringify({ caption, svg: avatar.toString() }));
}
