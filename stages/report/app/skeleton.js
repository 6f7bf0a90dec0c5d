// Skeletons: loaded as scripts that call csgPose, unpacked, and drawn over a picture of any size.

const LEAST_SCORE = 0.3; // joints scored lower are not drawn, as in pictures that the stages draw
const asked = new Map(); // name of a skeleton -> what waits for it

globalThis.csgPose = (name, said) => {
  const waiting = asked.get(name);
  asked.delete(name);
  if (waiting) waiting(said);
};

// The skeleton of a file such as ../previews/ab/NAME.pose.js; null where it does not load, or this browser cannot inflate.
async function loadPose(path) {
  if (!path || typeof DecompressionStream === "undefined") return null;
  const name = path.split("/").pop().split(".")[0];
  const said = await new Promise((resolve) => {
    const script = document.createElement("script");
    asked.set(name, resolve);
    script.onload = () => script.remove();
    script.onerror = () => { script.remove(); asked.delete(name); resolve(null); };
    script.src = encodeURI(path);
    document.head.append(script);
  });
  return said && unpackPose(said);
}

// Differences from frame to frame, a joint after the other: low bytes, high bytes, scores (stages/previews/pose.py).
async function unpackPose(said) {
  const packed = Uint8Array.from(atob(said.data), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const raw = new Uint8Array(await new Response(inflated).arrayBuffer());
  const { frames, points, size, step, box } = said;
  const count = frames * points * 2;
  const places = new Int16Array(count);
  const scores = new Uint8Array(frames * points);
  for (let i = 0; i < count; i += 1) {
    places[i] = (i % frames ? places[i - 1] : 0) + (raw[i] | (raw[count + i] << 8));
  }
  for (let i = 0; i < scores.length; i += 1) scores[i] = (i % frames ? scores[i - 1] : 0) + raw[2 * count + i];
  const joint = (number_, frame) => {
    const score = scores[number_ * frames + frame];
    if (!score || (score - 1) / 254 < LEAST_SCORE) return null;
    const at = 2 * number_ * frames + frame;
    return [places[at] * step, places[at + frames] * step];
  };
  return { frames, points, size, box, joint };
}

// The joints of a frame in the canvas's own pixels, the neck last; null where one is not seen. A pixel's centre is whole.
function jointsAt(pose, frame, view) {
  const at = Math.min(Math.max(frame, 0), pose.frames - 1);
  const place = (point) => point && [view.x + (point[0] + 0.5) * view.scale, view.y + (point[1] + 0.5) * view.scale];
  const joints = Array.from({ length: pose.points }, (_, number_) => place(pose.joint(number_, at)));
  const [left, right] = CSG.summary.skeleton.shoulders.map((number_) => joints[number_]);
  joints.push(left && right ? [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2] : null);
  return joints;
}

// Dark outlines first, colours on top. view: where the picture lies on the canvas, and canvas pixels to one of the skeleton's.
function drawSkeleton(pen, pose, frame, view) {
  const joints = jointsAt(pose, frame, view);
  const seen = joints.filter(Boolean);
  if (!seen.length) return;
  const extent = Math.max(...[0, 1].map((axis) => Math.max(...seen.map((p) => p[axis])) - Math.min(...seen.map((p) => p[axis]))));
  const smaller = Math.min(pose.size[0], pose.size[1]) * view.scale;
  const unit = Math.min(8, Math.max(0.8, Math.min(smaller, 1.4 * extent) / 260));
  const { lines, dots } = CSG.summary.skeleton;
  pen.lineCap = "round";
  pen.globalAlpha = 0.85;
  for (const outline of [true, false]) {
    for (const [from, to, colour, width, edge] of lines) {
      if (!joints[from] || !joints[to]) continue;
      pen.strokeStyle = outline ? "#121218" : colour;
      pen.lineWidth = (outline ? width + edge : width) * unit;
      pen.beginPath();
      pen.moveTo(...joints[from]);
      pen.lineTo(...joints[to]);
      pen.stroke();
    }
    for (const [number_, colour, radius, edge] of dots) {
      if (!joints[number_]) continue;
      pen.fillStyle = outline ? "#121218" : colour;
      pen.beginPath();
      pen.arc(...joints[number_], (outline ? radius + edge : radius) * unit, 0, 2 * Math.PI);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}
