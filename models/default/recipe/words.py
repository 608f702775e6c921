"""Words of industry that captions of rendered products lack, so that the merge list knows them too."""

WORDS = """
bottle cable capsule capsules carpet grid hazelnut leather metal nut pill screw tile toothbrush transistor wood zipper
candle cashew chewinggum fryum macaroni pcb pipe bracket brush connector plate tube glass wafer chip circuit board
solder resistor capacitor diode relay switch button label print barcode logo seal gasket ring washer bolt rivet nail
spring bearing gear shaft piston valve pump hose wire wheel tyre rubber plastic polymer foam sponge felt fabric cloth
textile thread yarn weave knit denim silk cotton wool lace paper cardboard carton box bag foil film tape sheet panel
steel iron copper brass aluminium zinc tin gold silver chrome alloy casting forging weld joint seam edge corner hole
slot thread surface coating paint varnish lacquer enamel glaze ceramic porcelain brick concrete stone marble granite
sand gravel asphalt rail road bridge wall floor roof window door lens mirror fibre carbon laminate veneer plywood
bread biscuit cookie pasta rice grain seed bean fruit apple orange potato egg meat fish bottle can jar lid cap cork
tablet syringe needle vial ampoule blister implant stent mask glove battery cell electrode display screen pixel panel
lamp led camera phone keyboard magnet ferrite motor coil winding plug socket fuse antenna sensor housing cover frame
anomaly anomalous abnormal normal defect defective damage damaged broken flawless perfect unblemished good bad faulty
fault flaw flaws intact clean dirty contaminated contamination scratch scratched crack cracked stain stained hole
pit pitted dent dented bump bent missing shifted misplaced rotated cut torn worn frayed rough burnt melted rusty rust
corrosion corroded oxidised discoloured faded blurred smeared smudge spot speck dust hair fibre bubble void pore
blowhole burr chip chipped peeled delaminated wrinkled folded creased loose uneven deformed distorted swollen squeezed
colour color bright dark light shiny matte transparent small large tiny huge long short thin thick round square
photo picture image cropped close-up blurry black white low resolution object part product piece sample
""".split()
