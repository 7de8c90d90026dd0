// Receives photos that are dropped, pasted, chosen or taken, and shrinks large ones before they are uploaded.

const LARGE = 2_000_000; // bytes
const SIDE = 1024; // shorter side in pixels; the model reads fewer

/** Calls `received(file)` with every photo. */
export function receivePhotos(received) {
  for (const [button, input] of [["choose", "file"], ["shoot", "camera"]]) {
    const field = document.getElementById(input);
    document.getElementById(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      if (field.files[0]) received(field.files[0]);
      field.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) received(file);
  });
  let depth = 0;
  const dragging = (change) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = change ? Math.max(depth + change, 0) : depth;
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", dragging(1));
  document.addEventListener("dragleave", dragging(-1));
  document.addEventListener("dragover", dragging(0));
  document.addEventListener("drop", (event) => {
    dragging(-depth)(event);
    document.body.classList.remove("dragging");
    depth = 0;
    if (event.dataTransfer?.files[0]) received(event.dataTransfer.files[0]);
  });
}

/** Returns a smaller copy of a large photo, or the file itself if it is small or unreadable by the browser. */
export async function shrink(file) {
  if (file.size <= LARGE) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(SIDE / Math.min(bitmap.width, bitmap.height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return (await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92))) ?? file;
  } catch {
    return file;
  }
}
